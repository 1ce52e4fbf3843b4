// Runs our ELM in npm cql-execution: one JSON document in (the path given), one JSON document out.
//
// In: { folder: where npm installed, resources, valuesets: {url: [{system, code}]}, now,
//       elm: {name: ELM of a library with a definition X}, included: [ELM of libraries] }
// Out: { name: {value} | {error} }, values in the form of npm_cql.mjs.
const { readFileSync } = require("node:fs");
const input = JSON.parse(readFileSync(process.argv[2], "utf8"));
const modules = `${input.folder}/node_modules`;
const cql = require(`${modules}/cql-execution`);
const fhir = require(`${modules}/cql-exec-fhir`);

function plain(value) {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return value.map(plain);
  if (value.isDateTime) return { [value.isTime?.() ? "time" : "datetime"]: value.toString() };
  if (value.isDate) return { date: value.toString() };
  if (value.isQuantity) return { quantity: [String(value.value), value.unit ?? "1"] };
  if (value.isInterval) return { interval: [plain(value.low), value.lowClosed, plain(value.high), value.highClosed] };
  if (value.isUncertainty) return { interval: [plain(value.low), true, plain(value.high), true] };
  if (value.isFHIRObject || value.getTypeInfo || value.constructor?.name === "FHIRObject") return plainFhir(value);
  if (value.isRatio) return { ratio: [plain(value.numerator), plain(value.denominator)] };
  if (typeof value !== "object") return value;
  const found = {};
  for (const name of Object.keys(value)) if (plain(value[name]) !== null) found[name] = plain(value[name]);
  return found;
}
// FHIR objects come apart into their elements; a primitive is its value.
function plainFhir(value) {
  const json = value.json;
  return json ?? plain(value.value ?? null);
}

const bundles = [{ resourceType: "Bundle", type: "collection", entry: input.resources.map((resource) => ({ resource })) }];
const sets = {};
for (const [url, codes] of Object.entries(input.valuesets))
  sets[url] = { "": codes.map((code) => ({ ...code, version: "" })) };

(async () => {
  const results = {};
  for (const [name, elm] of Object.entries(input.elm)) {
    try {
      const library = new cql.Library(elm, new cql.Repository(input.included));
      const clock = cql.DateTime.parse(input.now);
      const executor = new cql.Executor(library, new cql.CodeService(sets), {});
      const source = fhir.PatientSource.FHIRv401();
      source.loadBundles(bundles);
      const answers = await executor.exec(source, clock);
      const found = Object.values(answers.patientResults)[0] ?? {};
      results[name] = { value: plain("X" in found ? found.X : answers.unfilteredResults.X) };
    } catch (error) {
      results[name] = { error: String(error.message ?? error).slice(0, 200) };
    }
  }
  process.stdout.write(JSON.stringify(results));
})();
