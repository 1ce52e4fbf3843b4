// Evaluates CQL rules with npm @cqframework/cql: reads the cases as JSON from standard input, prints the answers
// and rates as JSON. Run by cql_compare.py in a folder where the engine is installed.
//
// Data are turned into the engine's own values before the clock starts, and its libraries are compiled before;
// each evaluation has an engine of its own, with expression caching.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const folder = process.argv[2];
const load = (name) => import(pathToFileURL(join(folder, "node_modules/@cqframework/cql", name)).href);
const elm = await load("cql-to-elm.mjs");
const engine = await load("engine.mjs");
const shared = await load("shared.mjs");
const { KtList, KtMutableMap, KtMutableSet, Pair } = await load("kotlin-kotlin-stdlib.mjs");

// What the rules need of FHIRHelpers, which the engine wants as CQL.
const HELPERS = `library FHIRHelpers version '4.0.1'
using FHIR version '4.0.1'
define function ToString(value FHIR.ObservationStatus): value.value
define function ToString(value FHIR.string): value.value
define function ToString(value FHIR.uri): value.value
define function ToDateTime(value FHIR.dateTime): value.value
define function ToQuantity(quantity FHIR.Quantity):
  if quantity is null or quantity.value is null then null
  else System.Quantity { value: quantity.value.value, unit: Coalesce(quantity.code.value, '1') }
define function ToCode(coding FHIR.Coding):
  if coding is null then null
  else System.Code { code: coding.code.value, system: coding.system.value,
                     version: coding.version.value, display: coding.display.value }
define function ToConcept(concept FHIR.CodeableConcept):
  if concept is null then null
  else System.Concept { codes: concept.coding C return ToCode(C), display: concept.text.value }
`;

const models = new elm.ModelManager();
const modelXml = readFileSync(join(folder, "node_modules/cql-exec-fhir/lib/modelInfos/fhir-modelinfo-4.0.1.xml"), "utf8");
models.modelInfoLoader.registerModelInfoProvider(new (await load("cql.mjs")).SystemModelInfoProvider());
models.modelInfoLoader.registerModelInfoProvider(
  elm.createModelInfoProvider((name) => (name === "FHIR" ? elm.stringAsSource(modelXml) : null)),
);

// Units by their text, as Varde has them here too: the data and the rules are in one unit.
const units = elm.createUcumService(
  (value, from, to) => {
    if (from !== to) throw new Error(`${from} in ${to}`);
    return value;
  },
  () => null,
  () => null,
  () => null,
);

const URL = "http://hl7.org/fhir";
const TYPES = {
  Patient: { id: "id", birthDate: "date" },
  Condition: { id: "id", clinicalStatus: "CodeableConcept", code: "CodeableConcept" },
  Observation: { id: "id", status: "ObservationStatus", code: "CodeableConcept" },
  CodeableConcept: { coding: ["Coding"] },
  Coding: { system: "uri", code: "code" },
  Quantity: { value: "decimal", unit: "string", system: "uri", code: "code" },
};
const CHOICES = { effectiveDateTime: ["effective", "dateTime"], valueQuantity: ["value", "Quantity"] };

function instance(type, elements) {
  return new engine.ClassInstance(new shared.QName(URL, type, ""), KtMutableMap.fromJsMap(new Map(elements)));
}

function system(type, value) {
  if (type === "decimal") return new engine.Decimal(shared.BigDecimal.fromString(String(value)));
  if (type !== "dateTime") return new engine.String(value);
  const offset = /([+-]\d\d):\d\d$/.exec(value)[1];
  const fields = value.match(/\d+/g).slice(0, 6).map(Number);
  return engine.DateTime.fromDateElements(shared.BigDecimal.fromString(offset), Int32Array.from(fields));
}

function converted(type, value) {
  if (Array.isArray(type)) return new engine.List(KtList.fromJsArray(value.map((item) => converted(type[0], item))));
  if (!(type in TYPES)) return instance(type, [["value", system(type, value)]]);
  const elements = [];
  for (const [name, item] of Object.entries(value)) {
    const [path, of] = CHOICES[name] ?? [name, TYPES[type][name]];
    if (of !== undefined) elements.push([path, converted(of, item)]);
  }
  return instance(type, elements);
}

// The patient's resources, found by type and code as the engine asks for them.
class Data {
  constructor(resources) {
    this.resources = resources.map((json) => ({ json, value: converted(json.resourceType, json) }));
  }
  retrieve(context, contextPath, contextValue, dataType, templateId, codePath, codes) {
    const wanted = codes == null ? null : Array.from(KtListView(codes));
    const found = [];
    for (const { json, value } of this.resources) {
      if (json.resourceType !== dataType) continue;
      if (wanted === null || (json[codePath]?.coding ?? []).some((coding) =>
        wanted.some((code) => code.code === coding.code && code.system === coding.system))) found.push(value);
    }
    return KtList.fromJsArray(found);
  }
  getContextPath(contextType, targetType) {
    return targetType === "Patient" ? "id" : "subject";
  }
  is(valueType, type) {
    return valueType === type.getLocalPart();
  }
  createInstance() {
    return null;
  }
  objectEquivalent() {
    return false;
  }
  resolveId() {
    return "p";
  }
  phiObfuscationSupplier() {
    return () => null;
  }
}

function KtListView(codes) {
  return codes.asJsReadonlyArrayView ? codes.asJsReadonlyArrayView() : [...codes];
}

function milliseconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const { seconds, cases } = JSON.parse(readFileSync(0, "utf8"));

const results = [];
for (const { name, text, resources } of cases) {
  const libraries = new elm.LibraryManager(models, undefined, undefined, units);
  libraries.librarySourceLoader.registerProvider(
    elm.createLibrarySourceProvider((id) => elm.stringAsSource(id === "FHIRHelpers" ? HELPERS : text)),
  );
  const provider = new Data(resources);
  const providers = KtMutableMap.fromJsMap(new Map([[URL, provider]]));
  const environment = new engine.Environment(libraries, providers);
  const options = KtMutableSet.fromJsSet(new Set([engine.CqlEngine.Options.EnableExpressionCaching]));
  const evaluate = () => {
    const one = new engine.CqlEngine(environment, options);
    const chosen = new engine.EvaluationParams.LibraryParams.Builder();
    chosen.expressionsByName(["Rule"]);
    const params = new engine.EvaluationParams.Builder();
    params.libraryByName("Rules", chosen.build());
    params.contextParameter = new Pair("Patient", "p");

    return one.evaluate(params.build()).onlyResultOrThrow.getByName("Rule").value;
  };
  try {
    const started = milliseconds();
    const answer = evaluate(); // compiles
    const compile = milliseconds() - started;
    for (const end = Date.now() + 1500; Date.now() < end; ) evaluate(); // until the JIT has settled
    let best = 0;
    for (let round = 0; round < 5; round++) {
      let count = 0;
      const before = milliseconds();
      for (const end = Date.now() + (seconds * 1000) / 5; Date.now() < end; count++) evaluate();
      best = Math.max(best, (count * 1000) / (milliseconds() - before));
    }
    results.push({ name, answer: answer === null ? null : answer.value, rate: best, compile });
  } catch (error) {
    results.push({ name, error: String(error.message ?? error) });
  }
}
console.log(JSON.stringify(results));
