package batterypilot.edc;

import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.spec.ECGenParameterSpec;
import java.util.Base64;

import org.eclipse.edc.runtime.metamodel.annotation.Extension;
import org.eclipse.edc.runtime.metamodel.annotation.Inject;
import org.eclipse.edc.runtime.metamodel.annotation.Setting;
import org.eclipse.edc.spi.EdcException;
import org.eclipse.edc.spi.security.Vault;
import org.eclipse.edc.spi.system.ServiceExtension;
import org.eclipse.edc.spi.system.ServiceExtensionContext;

/**
 * Puts a fresh key pair into the in-memory vault at every start.
 *
 * <p>The data plane signs the tokens of HttpData-PULL with it and checks them when they come back. Contracts,
 * transfers and tokens live in memory and end with the process, so the keys need not outlive it either, and no
 * private key is ever written to a disk or an image.
 */
@Extension(VaultSeedExtension.NAME)
public class VaultSeedExtension implements ServiceExtension {

    static final String NAME = "Battery Pilot vault seeding";

    private static final byte[] LINE_END = {'\n'};
    private static final int PEM_LINE_LENGTH = 64;

    @Setting(description = "Vault alias of the private key that signs data plane tokens",
            key = "edc.transfer.proxy.token.signer.privatekey.alias")
    private String privateKeyAlias;

    @Setting(description = "Vault alias of the public key that verifies data plane tokens",
            key = "edc.transfer.proxy.token.verifier.publickey.alias")
    private String publicKeyAlias;

    @Inject
    private Vault vault;

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public void initialize(ServiceExtensionContext context) {
        var keys = newKeyPair();
        store(privateKeyAlias, pem("PRIVATE KEY", keys.getPrivate()));
        store(publicKeyAlias, pem("PUBLIC KEY", keys.getPublic()));
    }

    private void store(String alias, String value) {
        vault.storeSecret(alias, value)
                .orElseThrow(failure -> new EdcException(
                        "Cannot store the secret '" + alias + "' in the vault: " + failure.getFailureDetail()));
    }

    private static KeyPair newKeyPair() {
        try {
            var generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            return generator.generateKeyPair();
        } catch (GeneralSecurityException e) {
            throw new EdcException("This Java runtime cannot create an EC key pair on secp256r1", e);
        }
    }

    private static String pem(String label, Key key) {
        var body = Base64.getMimeEncoder(PEM_LINE_LENGTH, LINE_END).encodeToString(key.getEncoded());
        return "-----BEGIN " + label + "-----\n" + body + "\n-----END " + label + "-----\n";
    }
}
