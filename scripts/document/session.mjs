// Holds a recorded session against the document, with a validator that knows
// nothing of ours.
//   node session.mjs DOCUMENT.json SESSION.jsonl [whole]
// A whole session, that of all tests, must have every operation of the document
// answered with success; another one most of them.
import fs from 'node:fs';
import readline from 'node:readline';
import Ajv from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

const [documentFile, sessionFile, extent] = process.argv.slice(2);
const doc = JSON.parse(fs.readFileSync(documentFile, 'utf8'));
const ajv = new Ajv({strict: false, allErrors: true, validateSchema: false, formats: {binary: true, double: true}});
formats(ajv);
ajv.addSchema(doc, 'document');

const escape = (name) => name.replaceAll('~', '~0').replaceAll('/', '~1');
const pointer = (...names) => '#/' + names.map(escape).join('/');
function at(ref) {
  return ref.slice(2).split('/').reduce((v, name) => v?.[name.replaceAll('~1', '/').replaceAll('~0', '~')], doc);
}
// follow is where an object really stands.
function follow(ref) {
  const v = at(ref);
  return v?.$ref ? follow(v.$ref) : ref;
}
const compiled = new Map();
function faults(ref, value) {
  // A pointer inside a URI is written with percent signs.
  if (!compiled.has(ref)) compiled.set(ref, ajv.compile({$ref: 'document' + ref.split('/').map((n) => (n === '#' ? n : encodeURIComponent(n))).join('/')}));
  const validate = compiled.get(ref);
  return validate(value) ? '' : ajv.errorsText(validate.errors, {separator: '\n    '});
}

// the templates, words before parameters
const rank = (path) => path.split('/').map((p) => (p.startsWith('{') ? 1 : 0)).join('');
const templates = Object.keys(doc.paths).map((path) => ({path, parts: path.split('/')})).sort((a, b) => rank(a.path).localeCompare(rank(b.path)));
const found = new Map();
function operation(method, pathname) {
  const key = method + pathname;
  if (!found.has(key)) {
    const given = pathname.split('/');
    found.set(key, templates.find(({path, parts}) => doc.paths[path][method] && parts.length === given.length && parts.every((p, i) => (p.startsWith('{') ? given[i] !== '' : p === given[i])))?.path);
  }
  return found.get(key);
}

const all = new Map();
for (const [path, item] of Object.entries(doc.paths)) {
  for (const method of ['get', 'put', 'post', 'delete', 'patch']) if (item[method]) all.set(item[method].operationId, `${method.toUpperCase()} ${path}`);
}
let judged = 0, requests = 0, unknown = 0;
const wrong = [];
const operations = new Set(), answered = new Set(), statuses = new Set();

function judge(e) {
  const url = new URL(e.url, 'http://evcsd'), method = e.method.toLowerCase();
  const path = operation(method, url.pathname);
  if (!path) { unknown++; return; }
  const say = (what) => wrong.push(`${e.method} ${url.pathname}${url.search} ${e.status}: ${what}`);
  const base = pointer('paths', path, method);
  const op = at(base);
  operations.add(op.operationId);
  if (e.status < 300) answered.add(op.operationId);
  statuses.add(e.status);
  judged++;

  const answer = follow(`${base}/responses/${e.status}`);
  if (!at(answer)) { say('the document has no such status'); return; }
  const media = (e.answerHeader['Content-Type']?.[0] ?? '').split(';')[0];
  const offered = Object.keys(at(answer).content ?? {}).map((m) => m.split(';')[0]);
  if (offered.length > 0 && !offered.includes(media)) say(`the document has no ${media}`);
  const text = Buffer.from(e.answer ?? '', 'base64').toString();
  if (media === 'application/json' && at(answer).content?.[media]) {
    const bad = faults(`${answer}/content/${escape(media)}/schema`, JSON.parse(text));
    if (bad) say(`the answer: ${bad}\n    ${text.slice(0, 400)}`);
  }

  if (!e.exact || e.status >= 300) return;
  requests++;
  const parameters = (op.parameters ?? []).map((p) => (p.$ref ? at(follow(p.$ref)) : p));
  for (const name of url.searchParams.keys()) if (!parameters.some((p) => p.in === 'query' && p.name === name)) say(`the document has no parameter ${name}`);
  for (const p of parameters) if (p.required && p.in === 'query' && !url.searchParams.has(p.name)) say(`the parameter ${p.name} is missing`);
  const sent = Buffer.from(e.body ?? '', 'base64').toString();
  if (sent && op.requestBody?.content?.['application/json']) {
    const bad = faults(`${base}/requestBody/content/application~1json/schema`, JSON.parse(sent));
    if (bad) say(`the request: ${bad}\n    ${sent.slice(0, 400)}`);
  } else if (sent && sent !== '{}' && !op.requestBody) say('the document has no body');
}

for await (const line of readline.createInterface({input: fs.createReadStream(sessionFile), crlfDelay: Infinity})) {
  if (line) judge(JSON.parse(line));
}
const without = (set) => [...all].filter(([id]) => !set.has(id)).map(([, where]) => where);
console.log(`${judged} exchanges of ${operations.size} operations of ${all.size}, ${answered.size} with success (${[...statuses].sort().join(' ')}), ${requests} requests judged; ${unknown} are no operation; ${wrong.length} wrong`);
const silent = without(operations), unanswered = without(answered);
if (silent.length > 0) console.log(`not in the session: ${silent.join(', ')}`);
if (unanswered.length > 0) console.log(`never with success: ${unanswered.join(', ')}`);
for (const w of wrong.slice(0, 40)) console.error(w);
let failed = wrong.length > 0;
if (operations.size < 0.9 * all.size) {
  console.error('the session leaves out too much to prove anything');
  failed = true;
}
if (extent === 'whole' && unanswered.length > 0) {
  console.error(`${unanswered.length} operations of the document were never answered with success: each needs a test that calls it`);
  failed = true;
}
if (failed) process.exit(1);
