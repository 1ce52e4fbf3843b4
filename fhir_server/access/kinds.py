"""Whose data a resource of each type can be, and by which search parameters that shows.

https://hl7.org/fhir/R4/compartmentdefinition-patient.html. R4 leaves a third of its types out of the patient
compartment, some because they are nobody's data and some that hold a patient's all the same. So:

- *shared* types are definitions, terminology and who and what care is given with: visible by scope alone;
- types of the Patient compartment are a patient's by the parameters of the CompartmentDefinition;
- types outside of it that refer to patients by a `patient` or `subject` (Task, Device, Contract,
  GuidanceResponse) are a patient's by that;
- all others (Binary, Bundle, Parameters, MessageHeader, Subscription, ...) may hold any patient's data and
  cannot say whose: hidden from every patient/ and user/ scope, and visible with system/ only.
"""

from __future__ import annotations

from functools import cache

from fhir_server.search import compartments
from fhir_server.search.extract import confining, links

SHARED = frozenset(
    {
        # definitions and terminology
        "ActivityDefinition", "CapabilityStatement", "ChargeItemDefinition", "CodeSystem",
        "CompartmentDefinition", "ConceptMap", "DeviceDefinition", "EffectEvidenceSynthesis",
        "EventDefinition", "Evidence", "EvidenceVariable", "ExampleScenario", "GraphDefinition",
        "ImplementationGuide", "Library", "Measure", "MessageDefinition", "NamingSystem",
        "ObservationDefinition", "OperationDefinition", "PlanDefinition", "Questionnaire",
        "ResearchDefinition", "ResearchElementDefinition", "RiskEvidenceSynthesis", "SearchParameter",
        "SpecimenDefinition", "StructureDefinition", "StructureMap", "TerminologyCapabilities",
        "TestReport", "TestScript", "ValueSet",
        # services, people and organisations that give care, places, products
        "CatalogEntry", "Endpoint", "HealthcareService", "InsurancePlan", "Location", "Medication",
        "MedicationKnowledge", "MedicinalProduct", "MedicinalProductAuthorization",
        "MedicinalProductContraindication", "MedicinalProductIndication", "MedicinalProductIngredient",
        "MedicinalProductInteraction", "MedicinalProductManufactured", "MedicinalProductPackaged",
        "MedicinalProductPharmaceutical", "MedicinalProductUndesirableEffect", "Organization",
        "OrganizationAffiliation", "Practitioner", "PractitionerRole", "ResearchStudy", "Slot", "Substance",
        "SubstanceNucleicAcid", "SubstancePolymer", "SubstanceProtein", "SubstanceReferenceInformation",
        "SubstanceSourceMaterial", "SubstanceSpecification",
    }
)  # fmt: skip

# Of a patient where they refer to one, and shared where they do not: the engine's own Device and those in
# stock, a practitioner's Schedule.
SHARED_WITHOUT_PATIENT = frozenset({"Device", "Schedule"})

# What an administrator sees of patients with user/ scopes: who they are, who cares for them, and what they
# consented to, which is what there is to administer; not what ails them.
ADMINISTRATIVE = frozenset(
    {"AuditEvent", "CareTeam", "Consent", "Device", "Patient", "Person", "Provenance", "RelatedPerson"}
)

# Alerts about readings whose patient could not be found out (fhir_server.alerts.unresolved): of nobody yet,
# and somebody has to see them.
WORKLIST = frozenset({"Flag", "Task"})


@cache
def in_compartment(type: str) -> tuple[str, ...]:
    """The reference parameters by which a resource of this type is in a patient's compartment."""
    codes = compartments.codes("Patient", type) or links(type)
    # of those that look at the same place one is enough: `patient` and `subject` of a Task are its `for`
    same = confining(type)
    first = next((code for code in codes if code in same), None)
    return tuple(code for code in codes if code == first or code not in same)


@cache
def about(type: str) -> tuple[str, ...]:
    """Those by which it is about a patient, who may be another than its performer, author or sender."""
    same = confining(type)
    return tuple(code for code in in_compartment(type) if code in same) or in_compartment(type)
