// Runs CQL through npm @cqframework/cql: one JSON document in (the path given), one JSON document out.
//
// In: { libraries: {name: text}, resources: [typed trees], valuesets: {url: [{system, code}]},
//       offset: hours, folder: where npm installed, elm: true to have it, cases: [{id, text}] }, `text` a whole library named Case.
// The clock cannot be given: the cases come with literals in its place.
// Out: { id: {value} | {error} | {invalid} }, with `elm` where it was asked for.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
global.require = createRequire(import.meta.url);
const input = JSON.parse(readFileSync(process.argv[2], "utf8"));
const modules = `${input.folder}/node_modules`;
const engine = await import(`${modules}/@cqframework/cql/engine.mjs`);
const translator = await import(`${modules}/@cqframework/cql/cql-to-elm.mjs`);
const { BigDecimal, QName } = await import(`${modules}/@cqframework/cql/shared.mjs`);
const { KtMutableMap, KtList } = await import(`${modules}/@cqframework/cql/kotlin-kotlin-stdlib.mjs`);
const { ClassType, SystemModelInfoProvider } = await import(`${modules}/@cqframework/cql/cql.mjs`);
const ucum = require(`${modules}/@lhncbc/ucum-lhc`).UcumLhcUtils.getInstance();
const FHIR = "http://hl7.org/fhir";

// Units

const toNumber = (text, from, to) => {
  const found = ucum.convertUnitTo(from, Number(text), to);
  if (found.status !== "succeeded") throw new Error(`cannot convert ${from} to ${to}`);
  return String(Number(found.toVal.toPrecision(12)));
};
const refused = () => {
  throw new Error("not supported by this script");
};
const units = translator.createUcumService(
  toNumber,
  (unit) => (ucum.validateUnitString(unit).status === "valid" ? null : `no unit: ${unit}`),
  refused,
  refused,
);

// Data: a typed tree is {t: type, v: value of a primitive, e: {name: tree or list of trees}}

function cqlValue(v) {
  if (v === null || v === undefined) return null;
  if (typeof v === "boolean") return new engine.Boolean(v);
  if (v.integer !== undefined) return new engine.Integer(v.integer);
  if (v.decimal !== undefined) return new engine.Decimal(BigDecimal.fromString(v.decimal));
  if (v.string !== undefined) return new engine.String(v.string);
  if (v.date) return engine.Date.fromDateString(v.date);
  if (v.datetime) {
    const offset = v.offset === null ? null : BigDecimal.fromString(v.offset);
    return engine.DateTime.fromDateElements(offset ?? BigDecimal.fromString(input.offset), new Int32Array(v.datetime));
  }
  if (v.time) return engine.Time.fromTimeElements(new Int32Array(v.time));
  throw new Error(`what is ${JSON.stringify(v)}`);
}
function instance(tree) {
  if (tree === null) return null;
  if (Array.isArray(tree)) return new engine.List(KtList.fromJsArray(tree.map(instance)));
  const elements = new Map(Object.entries(tree.e ?? {}).map(([name, value]) => [name, instance(value)]));
  for (const [name, v] of Object.entries(tree.s ?? {})) elements.set(name, cqlValue(v));
  return new engine.ClassInstance(new QName(FHIR, tree.t, ""), KtMutableMap.fromJsMap(elements));
}
const resources = input.resources.map((r) => ({ ...r, made: instance(r) }));

function codings(tree, path) {
  let at = [tree];
  for (const name of path.split(".")) at = at.flatMap((x) => x?.e?.[name] ?? []).filter((x) => x);
  const text = (x, name) => x?.e?.[name]?.s?.value?.string ?? null;
  return at.flatMap((x) =>
    x.e?.coding ? [x.e.coding].flat() : [x],
  ).map((x) => (x.s?.value ? { code: x.s.value.string } : { system: text(x, "system"), code: text(x, "code") }));
}
function provider(models) {
  return {
    createInstance: (name) => {
      const type = models.resolveModelByUri(FHIR).resolveTypeName(name);
      if (!(type instanceof ClassType)) throw new Error(`no class ${name}`);
      return instance({ t: type.name.slice("FHIR.".length) });
    },
    getContextPath: () => null,
    is: (value, type) => {
      if (type.getNamespaceURI() !== FHIR) return false;
      const model = models.resolveModelByUri(FHIR);
      return model.resolveTypeName(value).isSubTypeOf(model.resolveTypeName(type.getLocalPart()));
    },
    phiObfuscationSupplier: () => refused,
    resolveId: refused,
    objectEquivalent: refused,
    retrieve: (context, contextPath, contextValue, type, template, codePath, codes, valueSet) => {
      let found = resources.filter((r) => r.t === type);
      if (codes || valueSet) {
        const wanted = valueSet
          ? input.valuesets[valueSet]
          : engine.iterableToList(codes).asJsReadonlyArrayView();
        const same = (a) => wanted.some((b) => a.code === b.code && (a.system === undefined || a.system === (b.system ?? null)));
        found = found.filter((r) => codings(r, codePath).some(same));
      }
      return KtList.fromJsArray(found.map((r) => r.made));
    },
  };
}

// Values out

function plain(value) {
  if (value === null || value === undefined) return null;
  if (value instanceof engine.Boolean || value instanceof engine.String) return value.value;
  if (value instanceof engine.Integer) return value.value;
  if (value instanceof engine.Long) return { long: String(value.value) };
  if (value instanceof engine.Decimal) return { decimal: value.value.toPlainString() };
  for (const kind of ["Date", "DateTime", "Time"])
    if (value instanceof engine[kind]) return { [kind.toLowerCase()]: value.toString() };
  if (value instanceof engine.Quantity) return { quantity: [value.value?.toPlainString() ?? null, value.unit] };
  if (value instanceof engine.Concept)
    return { type: "Concept", elements: { codes: (value.codes?.asJsReadonlyArrayView() ?? []).map(plain), display: value.display ?? null } };
  if (value instanceof engine.Interval)
    return { interval: [plain(value.low), value.lowClosed, plain(value.high), value.highClosed] };
  if (value instanceof engine.List) return engine.iterableToList(value).asJsReadonlyArrayView().map(plain);
  if (value instanceof engine.StructuredValue) {
    const type = value instanceof engine.Tuple ? "Tuple" : value.type?.getLocalPart();
    const elements = {};
    for (const [name, item] of value.elements.asJsReadonlyMapView()) {
      const made = plain(item);
      if (made !== null && !(Array.isArray(made) && made.length === 0 && value instanceof engine.ClassInstance)) elements[name] = made;
    }
    return { type, elements };
  }
  throw new Error(`what is ${value}`);
}

const models = new translator.ModelManager();
models.modelInfoLoader.registerModelInfoProvider(new SystemModelInfoProvider());
models.modelInfoLoader.registerModelInfoProvider(
  translator.createModelInfoProvider((id) =>
    id === "FHIR" ? translator.stringAsSource(readFileSync(`${modules}/cql-exec-fhir/lib/modelInfos/fhir-modelinfo-4.0.1.xml`, "utf8")) : null,
  ),
);
const libraries = new translator.LibraryManager(models, translator.CqlCompilerOptions.defaultOptions(), null, units);
let current = "";
libraries.librarySourceLoader.registerProvider(
  translator.createLibrarySourceProvider((id) => {
    const text = id === "Case" ? current : input.libraries[id];
    return text === undefined ? null : translator.stringAsSource(text);
  }),
);
const environment = new engine.Environment(libraries);
environment.registerDataProvider(FHIR, provider(models));

function run(text, names) {
  current = text;
  const compiled = libraries.compiledLibraries.asJsMapView();
  for (const known of [...compiled.keys()]) if (known.id === "Case") compiled.delete(known);
  const made = translator.CqlTranslator.fromText(text, libraries);
  const errors = made.errors.asJsReadonlyArrayView();
  if (errors.length) return { invalid: errors.map((e) => e.message).join("; ") };
  const elm = input.elm ? { elm: made.toJson() } : {};
  try {
    const cql = new engine.CqlEngine(environment);
    const builder = new engine.EvaluationParams.Builder();
    const wanted = new engine.EvaluationParams.LibraryParams.Builder();
    wanted.expressionsByName(names);
    builder.libraryByName("Case", wanted.build());
    const found = cql.evaluate(builder.build()).onlyResultOrThrow;
    return { value: plain(found.getByName("X").value), ...elm };
  } catch (error) {
    return { error: String(error.message ?? error).slice(0, 300), ...elm };
  }
}

const results = {};
for (const { id, text } of input.cases) {
  try {
    results[id] = run(text, ["X"]);
  } catch (error) {
    results[id] = { invalid: String(error.message ?? error).slice(0, 300) };
  }
}
process.stdout.write(JSON.stringify(results));
