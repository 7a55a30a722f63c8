// A strict front for s3rver, which does not check version 4 signatures: every request is signed again
// with aws4 from what arrived, and refused when the signatures differ. Faults on demand, a log of the
// requests. Two ports: one for S3, one for the tests (the control port), which also works while the
// first one plays dead.
//
// usage: node proxy.js '{"directory": ..., "buckets": [...], "accessKeyId": ..., "secretAccessKey": ...,
//                        "sessionToken": ..., "region": ...}'
// Prints one line of JSON with the ports when it is ready; ends when its standard input is closed.
'use strict';

const crypto = require('crypto');
const http = require('http');
const aws4 = require('aws4');
const S3rver = require('s3rver');

const config = JSON.parse(process.argv[2]);
const MAX_SKEW_MS = 15 * 60 * 1000;
const XML = { 'content-type': 'application/xml' };
let faults = []; // in order; each serves `count` requests after letting `after` pass
let log = [];
let clockOffsetMs = 0;
let busy = 0;
let upstreamPort = 0;
const sockets = new Set();

const unescapeXml = text => text
  .replace(/&#(\d+);/g, (_, n) => String.fromCodePoint(Number(n)))
  .replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&quot;/g, '"').replace(/&apos;/g, "'")
  .replace(/&amp;/g, '&');
const escapeXml = text => text.replace(/[&<>"'\t\n\r]/g, c => `&#${c.codePointAt(0)};`);
const sha256 = data => crypto.createHash('sha256').update(data).digest('hex');
const md5 = data => crypto.createHash('md5').update(data).digest('base64');

class Refusal extends Error {
  constructor(status, code, message, extra = '', headers = {}) {
    super(message);
    Object.assign(this, { status, code, extra, headers });
  }

  get xml() {
    return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${this.code}</Code>` +
      `<Message>${escapeXml(this.message)}</Message>${this.extra}</Error>`;
  }
}

// Throws a Refusal unless the request carries the one right signature.
function verify(req, body) {
  const headers = req.headers;
  const match = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/
    .exec(headers.authorization || '');
  if (!match) throw new Refusal(403, 'AccessDenied', 'no version 4 signature');
  const [, id, , region, signedNames] = match;
  if (id !== config.accessKeyId) throw new Refusal(403, 'InvalidAccessKeyId', 'The AWS Access Key Id you provided does not exist in our records.');
  if (region !== config.region) {
    throw new Refusal(400, 'AuthorizationHeaderMalformed', `the region '${region}' is wrong; expecting '${config.region}'`,
      `<Region>${config.region}</Region>`);
  }
  if ((config.sessionToken || undefined) !== headers['x-amz-security-token']) {
    throw new Refusal(400, 'InvalidToken', 'The provided token is malformed or otherwise invalid.');
  }
  const when = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(headers['x-amz-date'] || '');
  if (!when) throw new Refusal(403, 'AccessDenied', 'no x-amz-date');
  const signedAt = Date.UTC(when[1], when[2] - 1, when[3], when[4], when[5], when[6]);
  if (Math.abs(signedAt - (Date.now() + clockOffsetMs)) > MAX_SKEW_MS) {
    throw new Refusal(403, 'RequestTimeTooSkewed', "The difference between the request time and the server's time is too large.");
  }
  const names = signedNames.split(';');
  for (const name of ['host', ...Object.keys(headers).filter(n => n.startsWith('x-amz-') || n === 'content-md5')]) {
    if (!names.includes(name)) throw new Refusal(403, 'AccessDenied', `header ${name} is not signed`);
  }
  if (headers['x-amz-content-sha256'] !== sha256(body)) {
    throw new Refusal(400, 'XAmzContentSHA256Mismatch', "The provided 'x-amz-content-sha256' header does not match what was computed.");
  }
  const signed = {};
  for (const name of names) signed[name] = headers[name];
  const again = aws4.sign(
    { service: 's3', region, method: req.method, path: req.url, headers: signed },
    { accessKeyId: config.accessKeyId, secretAccessKey: config.secretAccessKey });
  const spaceless = text => text.replace(/, /g, ',');
  if (spaceless(again.headers.Authorization) !== spaceless(headers.authorization)) {
    throw new Refusal(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match the signature you provided. Check your key and signing method.');
  }
}

// The bucket and the path behind it, for both styles: BUCKET.localhost:PORT/... and /BUCKET/...
function locate(req) {
  const host = (req.headers.host || '').replace(/:\d+$/, '');
  const path = req.url.startsWith('/') ? req.url : '/';
  if (host.endsWith('.localhost')) return { bucket: host.slice(0, -'.localhost'.length), path, style: 'virtual' };
  const [, bucket, rest] = /^\/([^/?]*)(.*)$/s.exec(path);
  return { bucket, path: rest.startsWith('/') ? rest : `/${rest}`, style: 'path' };
}

function forward(method, path, headers, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port: upstreamPort, method, path, headers }, reply => {
      const parts = [];
      reply.on('data', part => parts.push(part));
      // What is said about the connection behind does not hold for the one in front.
      const { connection, 'keep-alive': keepAlive, 'transfer-encoding': encoding, ...rest } = reply.headers;
      reply.on('end', () => resolve({ status: reply.statusCode, headers: rest, body: Buffer.concat(parts) }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

// s3rver takes a request without Authorization for an anonymous one, and serves it.
function upstream(method, bucket, path, body) {
  return forward(method, `/${bucket}${path}`, {
    host: `127.0.0.1:${upstreamPort}`,
    'content-type': 'application/xml',
    'content-length': body.length,
    'content-md5': md5(body),
    'x-amz-content-sha256': sha256(body),
  }, body);
}

const keysOf = body => [...body.toString().matchAll(/<Key>(.*?)<\/Key>/gs)].map(m => unescapeXml(m[1]));

// DeleteObjects with some keys kept from the server: as errors in the reply, or not mentioned at all.
async function deletePartly(bucket, path, keys, fault) {
  const hit = key => key.includes(fault.match);
  const rest = keys.filter(key => !hit(key));
  let xml = '<?xml version="1.0" encoding="UTF-8"?>\n<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></DeleteResult>';
  if (rest.length > 0) {
    const body = Buffer.from(`<Delete>${rest.map(k => `<Object><Key>${escapeXml(k)}</Key></Object>`).join('')}</Delete>`);
    xml = (await upstream('POST', bucket, path, body)).body.toString();
  }
  const errors = fault.kind === 'missing' ? [] : keys.filter(hit).map(key =>
    `<Error><Key>${escapeXml(key)}</Key><Code>${fault.code || 'AccessDenied'}</Code><Message>${fault.message || 'Access Denied'}</Message></Error>`);
  return { status: 200, headers: XML, body: Buffer.from(xml.replace('</DeleteResult>', `${errors.join('')}</DeleteResult>`)) };
}

const CANNED = {
  slowdown: new Refusal(503, 'SlowDown', 'Please reduce your request rate.'),
  internal: new Refusal(500, 'InternalError', 'We encountered an internal error. Please try again.'),
};

function nextFault() {
  const fault = faults[0];
  if (!fault) return undefined;
  if (fault.after > 0) {
    fault.after--;
    return undefined;
  }
  if (--fault.count <= 0) faults.shift();
  return fault;
}

async function answer(req, body, entry) {
  const { bucket, path, style } = locate(req);
  const keys = req.method === 'POST' ? keysOf(body) : [];
  const fault = nextFault();
  Object.assign(entry, { bucket, style, keys: keys.length, fault: fault && fault.kind });
  if (fault && ['reset', 'down', 'hang'].includes(fault.kind)) {
    if (fault.kind === 'down') stopListening();
    if (fault.kind !== 'hang') req.socket.resetAndDestroy();
    return undefined;
  }
  if (fault && CANNED[fault.kind]) throw CANNED[fault.kind];
  if (fault && fault.kind === 'error') throw new Refusal(fault.status, fault.code, fault.message || '', fault.extra, fault.headers);
  if (fault && fault.kind === 'raw') return { status: fault.status || 200, headers: fault.headers || XML, body: Buffer.from(fault.body) };
  verify(req, body);
  if (!config.buckets.includes(bucket)) throw new Refusal(404, 'NoSuchBucket', 'The specified bucket does not exist');
  if (req.method === 'POST' && headersLackDigest(req, body)) throw new Refusal(400, 'BadDigest', 'The Content-MD5 you specified did not match what we received.');
  if (fault && ['partial', 'missing'].includes(fault.kind)) return deletePartly(bucket, path, keys, fault);
  const reply = await upstream(req.method, bucket, path, body);
  return fault && fault.kind === 'cut' ? { ...reply, cut: true } : reply;
}

const headersLackDigest = (req, body) => req.headers['content-md5'] !== md5(body);

async function serve(req, res) {
  const parts = [];
  for await (const part of req) parts.push(part);
  const body = Buffer.concat(parts);
  busy++;
  const entry = { method: req.method, url: req.url, host: req.headers.host, busy, bytes: body.length, port: req.socket.remotePort };
  log.push(entry);
  try {
    // Held back until the test lets go of it.
    while (config.held) await new Promise(resolve => setTimeout(resolve, 10));
    if (config.delayMs) await new Promise(resolve => setTimeout(resolve, config.delayMs));
    let reply;
    try {
      reply = await answer(req, body, entry);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      reply = { status: error.status, headers: { ...XML, ...error.headers }, body: Buffer.from(error.xml) };
      entry.code = error.code;
    }
    if (!reply) return;
    entry.status = reply.status;
    res.writeHead(reply.status, { ...reply.headers, 'content-length': reply.body.length });
    if (reply.cut) res.write(reply.body.subarray(0, reply.body.length / 2), () => req.socket.destroy());
    else res.end(reply.body);
  } catch (error) {
    console.error(error);
    res.destroy();
  } finally {
    busy--;
  }
}

let front;
let frontPort = 0;

function startListening() {
  return new Promise((resolve, reject) => {
    if (front) return resolve();
    front = http.createServer(serve);
    front.keepAliveTimeout = config.keepAliveMs || 60000;
    front.on('connection', socket => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    });
    front.on('error', reject);
    front.listen(frontPort, '127.0.0.1', () => {
      frontPort = front.address().port;
      resolve();
    });
    return undefined;
  });
}

function stopListening() {
  if (!front) return;
  front.close();
  front = undefined;
  for (const socket of sockets) socket.destroy();
}

// The control port. /__s3/BUCKET/KEY goes straight to s3rver: no signature, no fault, no log.
async function control(req, res) {
  const parts = [];
  for await (const part of req) parts.push(part);
  const body = Buffer.concat(parts);
  const json = () => JSON.parse(body.toString() || '{}');
  let out = {};
  if (req.url.startsWith('/__s3/')) {
    const [, bucket, path] = /^\/__s3\/([^/?]+)(.*)$/s.exec(req.url);
    const reply = await upstream(req.method, bucket, path, body);
    res.writeHead(reply.status, reply.headers);
    res.end(reply.body);
    return;
  }
  if (req.url === '/__fault') faults.push({ count: 1, after: 0, ...json() });
  else if (req.url === '/__log') out = log;
  else if (req.url === '/__clock') clockOffsetMs = json().offset_s * 1000;
  else if (req.url === '/__config') {
    Object.assign(config, json());
    if (front) front.keepAliveTimeout = config.keepAliveMs || 60000;
  } else if (req.url === '/__up') await startListening();
  else if (req.url === '/__down') stopListening();
  else if (req.url === '/__reset') {
    faults = [];
    log = [];
    clockOffsetMs = 0;
    await startListening();
  }
  res.writeHead(200, { 'content-type': 'application/json' });
  res.end(JSON.stringify(out));
}

async function main() {
  const server = new S3rver({
    address: '127.0.0.1', port: 0, silent: true, directory: config.directory,
    configureBuckets: config.buckets.map(name => ({ name })),
  });
  // s3rver deletes the keys of a request at once, and each removes the folders that it leaves empty:
  // the second to find a folder gone fails the request with a 500. One after the other works.
  const deleteObject = server.store.deleteObject.bind(server.store);
  let turn = Promise.resolve();
  server.store.deleteObject = (...args) => {
    const done = turn.then(() => deleteObject(...args));
    turn = done.catch(() => {});
    return done;
  };
  upstreamPort = (await server.run()).port;
  await startListening();
  const controls = http.createServer((req, res) => control(req, res).catch(error => {
    console.error(error);
    res.destroy();
  }));
  controls.listen(0, '127.0.0.1', () => {
    console.log(JSON.stringify({ port: frontPort, control: controls.address().port }));
  });
  process.stdin.resume();
  process.stdin.on('end', () => process.exit(0));
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
