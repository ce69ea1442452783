package batterypilot.edc;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;

import org.eclipse.edc.connector.controlplane.catalog.spi.policy.CatalogPolicyContext;
import org.eclipse.edc.connector.controlplane.contract.spi.policy.ContractNegotiationPolicyContext;
import org.eclipse.edc.connector.controlplane.contract.spi.policy.TransferProcessPolicyContext;
import org.eclipse.edc.participant.spi.ParticipantAgentPolicyContext;
import org.eclipse.edc.policy.engine.spi.AtomicConstraintRuleFunction;
import org.eclipse.edc.policy.engine.spi.PolicyEngine;
import org.eclipse.edc.policy.engine.spi.RuleBindingRegistry;
import org.eclipse.edc.policy.model.Operator;
import org.eclipse.edc.policy.model.Permission;
import org.eclipse.edc.runtime.metamodel.annotation.Extension;
import org.eclipse.edc.runtime.metamodel.annotation.Inject;
import org.eclipse.edc.runtime.metamodel.annotation.Setting;
import org.eclipse.edc.spi.EdcException;
import org.eclipse.edc.spi.result.Result;
import org.eclipse.edc.spi.system.ServiceExtension;
import org.eclipse.edc.spi.system.ServiceExtensionContext;
import org.eclipse.edc.spi.types.TypeManager;

/**
 * Evaluates who may see an offer, agree on it and transfer: a named party, a role, a purpose.
 *
 * <p>Roles and purposes come from this connector's own register of parties, not from what a party says of itself. A
 * party that is not in the register has none, and a rule that is not understood permits nothing.
 */
@Extension(PartyPolicyExtension.NAME)
public class PartyPolicyExtension implements ServiceExtension {

    static final String NAME = "Battery Pilot policies on parties";

    private static final String ODRL = "http://www.w3.org/ns/odrl/2/";
    private static final String EDC = "https://w3id.org/edc/v0.0.1/ns/";
    private static final String RECIPIENT = ODRL + "recipient";
    private static final String PURPOSE = ODRL + "purpose";
    private static final String ROLE = EDC + "role";
    private static final Set<Operator> OPERATORS = Set.of(Operator.EQ, Operator.IS_ANY_OF);

    @Setting(description = "Register of parties: {\"<participant id>\": {\"roles\": [\"recycler\"], \"purposes\": []}}",
            key = "batterypilot.parties", defaultValue = "{}")
    private String parties;

    @Inject
    private RuleBindingRegistry bindings;

    @Inject
    private PolicyEngine engine;

    @Inject
    private TypeManager typeManager;

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public void initialize(ServiceExtensionContext context) {
        var register = readRegister();
        bind(CatalogPolicyContext.class, CatalogPolicyContext.CATALOG_SCOPE, register);
        bind(ContractNegotiationPolicyContext.class, ContractNegotiationPolicyContext.NEGOTIATION_SCOPE, register);
        bind(TransferProcessPolicyContext.class, TransferProcessPolicyContext.TRANSFER_SCOPE, register);
    }

    private Map<String, Map<String, List<String>>> readRegister() {
        try {
            return typeManager.getMapper().readValue(parties, new TypeReference<>() {
            });
        } catch (JsonProcessingException e) {
            throw new EdcException("The setting batterypilot.parties is no JSON object of parties: "
                    + e.getOriginalMessage());
        }
    }

    private <C extends ParticipantAgentPolicyContext> void bind(
            Class<C> kind, String scope, Map<String, Map<String, List<String>>> register) {
        bindings.bind(ODRL + "use", scope);
        bind(kind, scope, RECIPIENT, List::of);
        bind(kind, scope, PURPOSE, party -> register.getOrDefault(party, Map.of()).getOrDefault("purposes", List.of()));
        bind(kind, scope, ROLE, party -> register.getOrDefault(party, Map.of()).getOrDefault("roles", List.of()));
    }

    private <C extends ParticipantAgentPolicyContext> void bind(
            Class<C> kind, String scope, String operand, Facts facts) {
        bindings.bind(operand, scope);
        engine.registerFunction(kind, Permission.class, operand, new OneOf<>(facts));
    }

    /** What is known of a party. */
    @FunctionalInterface
    private interface Facts {
        List<String> of(String participantId);
    }

    /** Permits when one of the facts on a party is among the values of the constraint. */
    private record OneOf<C extends ParticipantAgentPolicyContext>(Facts facts)
            implements AtomicConstraintRuleFunction<Permission, C> {

        @Override
        public boolean evaluate(Operator operator, Object rightValue, Permission rule, C context) {
            var party = context.participantAgent().getIdentity();
            return party != null && OPERATORS.contains(operator)
                    && facts.of(party).stream().anyMatch(values(operator, rightValue)::contains);
        }

        @Override
        public Result<Void> validate(Operator operator, Object rightValue, Permission rule) {
            if (!OPERATORS.contains(operator)) {
                return Result.failure("operator %s is not evaluated here, only EQ and IS_ANY_OF".formatted(operator));
            }
            return values(operator, rightValue).isEmpty()
                    ? Result.failure("the right operand must name at least one value")
                    : Result.success();
        }

        private static Set<String> values(Operator operator, Object rightValue) {
            if (!(rightValue instanceof String text)) {
                return Set.of();
            }
            // A list in one string: EDC hands the members of a JSON array over in a form that differs between releases.
            var words = operator == Operator.EQ ? new String[] {text} : text.split(",");
            return Arrays.stream(words).map(String::strip).filter(word -> !word.isEmpty()).collect(Collectors.toSet());
        }
    }
}
