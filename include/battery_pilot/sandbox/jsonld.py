"""As much JSON-LD as the connector sandbox needs: terms to IRIs, with the contexts that connectors exchange.

Not a general processor: contexts are never fetched, scoped terms (but for policies) and protected ones are not known. What matters here is that
a term without a definition in its context is *not* silently taken for the one that was meant, exactly as in a real
connector.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

EDC = "https://w3id.org/edc/v0.0.1/ns/"
ODRL = "http://www.w3.org/ns/odrl/2/"
PREFIXES = {
    "edc": EDC,
    "odrl": ODRL,
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "dspace": "https://w3id.org/dspace/v0.8/",
}
# The context of every answer of the management API v3.
EDC_CONTEXT = {"@vocab": EDC, **PREFIXES}
ODRL_CONTEXT = "http://www.w3.org/ns/odrl.jsonld"
DSP_CONTEXT = "https://w3id.org/dspace/2025/1/context.jsonld"
MANAGEMENT_CONTEXT = "https://w3id.org/edc/connector/management/v0.0.1"
MANAGEMENT_V2_CONTEXT = "https://w3id.org/edc/connector/management/v2"

_IRI_VALUED = (
    "permission prohibition obligation duty constraint target assigner assignee profile hasPolicy uid refinement"
)
_VOCABULARY_VALUED = "action leftOperand operator"
_PLAIN = (
    # Structure, classes and actions
    "rightOperand and or xone andSequence Policy Set Offer Agreement Permission Prohibition Duty Constraint use read "
    # Operators
    "eq neq gt gteq lt lteq isA hasPart isPartOf isAllOf isAnyOf isNoneOf "
    # Left operands
    "count dateTime delayPeriod elapsedTime event industry language media meteredTime payAmount percentage product "
    "purpose recipient spatial systemDevice timeInterval version virtualLocation"
)


class UnknownContext(ValueError):
    """A document names a context that is neither built in nor an object."""


@dataclass(frozen=True)
class Context:
    """An active context.

    :param vocabulary: IRI that undefined terms are appended to; empty when they mean nothing.
    :param terms: IRI and type coercion (``@id``, ``@vocab`` or empty) of each term; a prefix is a term, too.
    :param of_policies: further terms inside of what ``policy`` leads to.
    """

    vocabulary: str = ""
    terms: dict[str, tuple[str, str]] = field(default_factory=dict)
    of_policies: dict[str, tuple[str, str]] = field(default_factory=dict)

    def within(self, key: str) -> Context:
        """Return the context of a key's value."""
        return Context(self.vocabulary, {**self.terms, **self.of_policies}) if key == "policy" else self

    def extended(self, local: Any) -> Context:
        """Return this context with a document's own ``@context`` on top.

        :raises UnknownContext: when it names a remote context that is not built in.
        """
        if local is None:
            return self
        if isinstance(local, list):
            context = self
            for one in local:
                context = context.extended(one)
            return context
        if isinstance(local, str):
            if local not in _KNOWN:
                raise UnknownContext(f"the context {local} is not known")
            known = _KNOWN[local]
            return Context(known.vocabulary or self.vocabulary, {**self.terms, **known.terms}, known.of_policies)
        terms = {term: _definition(value) for term, value in local.items() if not term.startswith("@")}
        return Context(local.get("@vocab", self.vocabulary), {**self.terms, **terms}, self.of_policies)

    def iri(self, text: str) -> str:
        """Expand a compact IRI (``odrl:use``); anything else stays."""
        prefix, colon, rest = text.partition(":")
        if colon and not rest.startswith("//") and prefix in self.terms:
            return self.terms[prefix][0] + rest
        return text

    def term(self, text: str) -> str | None:
        """Expand a term or compact IRI; ``None`` when the term means nothing here."""
        if text.startswith("@") or text in self.terms:
            return self.terms[text][0] if text in self.terms else text
        if ":" in text:
            return self.iri(text)
        return self.vocabulary + text if self.vocabulary else None


def _definition(value: Any) -> tuple[str, str]:
    if isinstance(value, dict):
        return value.get("@id", ""), value.get("@type", "")
    return str(value), ""


def _odrl_terms() -> dict[str, tuple[str, str]]:
    groups = (("@id", _IRI_VALUED), ("@vocab", _VOCABULARY_VALUED), ("", _PLAIN))
    terms = {name: (ODRL + name, coercion) for coercion, names in groups for name in names.split()}
    return {"odrl": (ODRL, ""), **terms}


def _prefixes() -> dict[str, tuple[str, str]]:
    return {name: (iri, "") for name, iri in PREFIXES.items()}


_KNOWN = {
    ODRL_CONTEXT: Context("", _odrl_terms()),
    DSP_CONTEXT: Context("", _odrl_terms()),
    MANAGEMENT_CONTEXT: Context(EDC, {**_prefixes(), **_odrl_terms()}),
    # In this one "operator" is a criterion's everywhere else.
    MANAGEMENT_V2_CONTEXT: Context(EDC, _prefixes(), _odrl_terms()),
}
# EDC supplies its vocabulary to documents that name none.
MANAGEMENT = Context(EDC)


def expand(value: Any, context: Context = MANAGEMENT) -> Any:
    """Replace the keys of a document, and the values that are IRIs, by full IRIs.

    Keys without a meaning in the context disappear. Single values stay single; read them with :func:`many`.

    :param value: a JSON value.
    :param context: the context around it; the value's own ``@context`` comes on top.
    :raises UnknownContext: for a remote context that is not built in.
    """
    if isinstance(value, list):
        return [expand(one, context) for one in value]
    if not isinstance(value, dict):
        return value
    if "@value" in value:
        return value["@value"]
    context = context.extended(value.get("@context"))
    expanded = {}
    for key, part in value.items():
        name = context.term(key)
        if name is None or key == "@context":
            continue
        expanded[name] = _expanded_value(key, part, context.within(key))
    return expanded


def _expanded_value(key: str, part: Any, context: Context) -> Any:
    if isinstance(part, list):
        return [_expanded_value(key, one, context) for one in part]
    if not isinstance(part, str):
        return expand(part, context)
    coercion = context.terms.get(key, ("", ""))[1]
    if key == "@type":
        return context.term(part) or part
    if key == "@id":
        return context.iri(part)
    if coercion == "@vocab":
        return {"@id": context.term(part) or part}
    return {"@id": context.iri(part)} if coercion == "@id" else part


def many(value: Any) -> list[Any]:
    """Return what may be absent, single or an array as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str | None:
    """Return a string or the ``@id`` of a node; ``None`` for anything else."""
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(value, dict):
        value = value.get("@id")
    return value if isinstance(value, str) else None


def compact_iri(iri: str, prefixes: dict[str, str] | None = None) -> str:
    """Shorten an IRI by a known prefix."""
    for prefix, namespace in (PREFIXES if prefixes is None else prefixes).items():
        if iri.startswith(namespace):
            return f"{prefix}:{iri.removeprefix(namespace)}"
    return iri


def compact_key(iri: str) -> str:
    """Shorten a property's IRI the way management answers do: EDC's own names bare, others with their prefix."""
    return iri.removeprefix(EDC) if iri.startswith(EDC) else compact_iri(iri)


def compact_list(values: list[Any]) -> Any:
    """Return a single value bare and any other number as an array, as JSON-LD compaction does."""
    return values[0] if len(values) == 1 else values
