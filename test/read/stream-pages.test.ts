import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { brotliCompressSync, createGzip, deflateRawSync, gzipSync } from 'node:zlib';
import { serve } from '../../infra/local/serve.ts';
import type { Page } from '../../lib/job-types.ts';
import type { StreamFormat } from '../../lib/read/json-records.ts';

import { streamPages } from '../../lib/read/stream-pages.ts';
import { openListed, writeEndlessly } from '../support/listed-source.ts';
import { until } from '../support/pipeline.ts';

const list = (format: StreamFormat) => streamPages({ path: '/all', query: ({ since }) => ({ since }), format });

const open = (
  format: StreamFormat,
  handle: (response: ServerResponse, attempt: number) => Promise<void> | void,
  timeoutMs?: number,
) => {
  let attempts = 0;
  return openListed(list(format), (_, response) => handle(response, ++attempts), timeoutMs ? { timeoutMs } : {});
};

const numbered = (count: number) => Array.from({ length: count }, (_, index) => ({ id: `record ${index}` }));
const written: Record<StreamFormat, (records: unknown[]) => string> = {
  'json-array': (records) => JSON.stringify(records),
  ndjson: (records) => records.map((record) => `${JSON.stringify(record)}\n`).join(''),
};
const formats = Object.keys(written) as StreamFormat[];
const recordsOf = (pages: Page[]) => pages.flatMap(({ records }) => records);

for (const format of formats) {
  test(`A stream in ${format} comes in pages of 500, whose cursors count the records so far.`, async () => {
    await using source = await open(format, (response) => {
      response.setHeader('etag', 'W/"v#1"');
      response.end(written[format](numbered(1200)));
    });
    const pages = await source.readAll(null, { since: '2026-01-01T00:00:00.000Z' });
    assert.deepEqual(
      pages.map(({ records, cursor }) => [records.length, cursor]),
      [
        [500, 'W/"v#1"#500'],
        [500, 'W/"v#1"#1000'],
        [200, null],
      ],
    );
    assert.deepEqual(recordsOf(pages), numbered(1200));
    const [request] = source.requests;
    assert.equal(request?.url, '/all?since=2026-01-01T00%3A00%3A00.000Z');
    assert.match(request?.headers.authorization ?? '', /^Basic /);
    assert.equal(request?.headers['accept-encoding'], 'gzip, br, deflate');
    assert.match(
      request?.headers.accept ?? '',
      format === 'ndjson' ? /^application\/x-ndjson,/ : /^application\/json$/,
    );
  });

  test(`Records in ${format} are what JSON.parse makes of them, wherever the stream is cut into pieces.`, async () => {
    const records = [
      { text: 'é漢😀\u2028"\\/\b\f\n\r\t\u0000', lone: '\ud800', ключ: [1, -0.5, 1e21, 1e-7, true, false, null] },
      { mark: '\ufeffkept', marks: ['\ufeff', 'a\ufeff'], empty: { list: [], object: {} } },
      ...[null, 7, 'text', [], [[]], true],
    ];
    const bytes = Buffer.from(`${written[format](records)}\r\n `);
    for (const size of [1, 2, 3, 5, 1000]) {
      await using source = await open(format, async (response) => {
        for (let at = 0; at < bytes.length; at += size) {
          // Each piece is flushed before the next one, or the client would receive them as one.
          await new Promise((resolve) => response.write(bytes.subarray(at, at + size), resolve));
        }
        response.end();
      });
      assert.deepEqual(recordsOf(await source.readAll()), records);
    }
  });

  test(`A stream in ${format} of no records, or of exactly one page, ends with an empty page.`, async () => {
    for (const count of [0, 500]) {
      await using source = await open(format, (response) => void response.end(written[format](numbered(count))));
      const pages = await source.readAll();
      assert.equal(recordsOf(pages).length, count);
      assert.deepEqual(pages.at(-1), { records: [], cursor: null });
    }
  });
}

test('Lines may end in any way, be empty, and lack an end at the end.', async () => {
  await using source = await open('ndjson', (response) => void response.end('\n{"a":1}\r\n\r\n {"a":2} \n\n3'));
  assert.deepEqual(recordsOf(await source.readAll()), [{ a: 1 }, { a: 2 }, 3]);
});

test('Large records make small pages.', async () => {
  const records = numbered(20).map((record) => ({ ...record, text: 'x'.repeat(1_000_000) }));
  await using source = await open('json-array', (response) => void response.end(JSON.stringify(records)));
  const pages = await source.readAll();
  assert.deepEqual(recordsOf(pages), records);
  assert.ok(pages.every(({ records }) => records.length <= 6));
});

const secretWord = 'hunter2';
const good = numbered(2700).map((record) => ({ ...record, text: 'x'.repeat(100) }));
const beginning = JSON.stringify(good).slice(0, -1);
const broken: Record<string, [format: StreamFormat, body: string | Buffer, message: RegExp]> = {
  'that ends in the middle of a record': [
    'json-array',
    `${beginning},{"a":"${secretWord}`,
    /ends in the middle \(record 2701,/,
  ],
  'that ends between two records': ['json-array', `${beginning},`, /ends in the middle \(record 2701,/],
  'whose last line is cut': ['ndjson', `${written.ndjson(good)}{"a":`, /ends in the middle \(record 2701,/],
  'that goes on after its end': ['json-array', `${beginning}] ${secretWord}`, /is not JSON in UTF-8 \(record 2701,/],
  'of two records on a line': [
    'ndjson',
    `${written.ndjson(good)}{} {"${secretWord}":1}`,
    /not JSON in UTF-8 \(record 2702,/,
  ],
  'that turns into HTML': ['ndjson', `${written.ndjson(good)}<p>${secretWord}</p>`, /not JSON in UTF-8 \(record 2701,/],
  'of invalid UTF-8': [
    'json-array',
    Buffer.from(`${beginning},"\xff${secretWord}"]`, 'latin1'),
    /not JSON in UTF-8 \(record 2701, after byte \d{6} of the stream\)/,
  ],
  'that nests too deep': [
    'json-array',
    `${beginning},${'['.repeat(100)}`,
    /nests deeper than 100 levels \(record 2701,/,
  ],
};
for (const [what, [format, body, message]] of Object.entries(broken)) {
  test(`A stream ${what} is a SourceError with the position, after the pages before it.`, async () => {
    await using source = await open(format, (response) => void response.end(body));
    const seen: Page[] = [];
    await assert.rejects(source.readAll(null, {}, seen), (error: Error) => {
      assert.equal(error.name, 'SourceError');
      assert.match(error.message, /^the stream at \/all /);
      assert.match(error.message, message);
      assert.ok(!`${error.stack}${error.cause}`.includes(secretWord));
      return true;
    });
    // Records that arrive in the same piece as the fault are lost.
    assert.ok(seen.length >= 4);
    assert.deepEqual(recordsOf(seen), good.slice(0, seen.length * 500));
    assert.equal(source.requests.length, 1);
  });
}

for (const format of formats) {
  test(`A stream in ${format} that is empty, or breaks before it begins, is asked for again.`, async () => {
    const faults: ((response: ServerResponse) => void)[] = [
      (response) => response.end(),
      (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('')),
      (response) => response.writeHead(200).flushHeaders(),
      (response) => response.writeHead(200, { 'content-length': 5 }).flushHeaders(),
    ];
    for (const [index, fault] of faults.entries()) {
      await using source = await open(format, (response, attempt) => {
        if (attempt > 1) return void response.end(written[format]([1, 2]));
        fault(response);
        if (index > 1) setTimeout(() => response.destroy(), 50);
      });
      assert.deepEqual(recordsOf(await source.readAll()), [1, 2]);
      assert.equal(source.requests.length, 2);
    }
    await using silent = await open(format, (response) => void response.writeHead(204).end());
    assert.deepEqual(await silent.readAll(), [{ records: [], cursor: null }]);
    assert.equal(silent.requests.length, 1);
  });

  for (const [coding, pack] of [
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateRawSync],
  ] as const) {
    test(`A stream in ${format} packed with ${coding} is unpacked as it arrives; a cut one ends the list after its pages.`, async () => {
      const body = pack(written[format](good));
      await using source = await open(format, (response, attempt) => {
        response.writeHead(200, { 'content-encoding': coding });
        response.end(attempt === 1 ? body : body.subarray(0, -10));
      });
      assert.deepEqual(recordsOf(await source.readAll()), good);
      const seen: Page[] = [];
      const message = /^GET \/all at the source: the answer cannot be unpacked: unexpected end of file/;
      await assert.rejects(source.readAll(null, {}, seen), { name: 'SourceError', message });
      assert.deepEqual(recordsOf(seen), good.slice(0, seen.length * 500));
      assert.equal(source.requests.length, 2);
    });
  }
}

test('A small packed stream that unpacks to a record without an end is given up at the bound.', async () => {
  const bomb = gzipSync(Buffer.alloc(100_000_000, ' '));
  await using source = await open('json-array', (response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb);
  });
  await assert.rejects(source.readAll(), { name: 'SourceError', message: /has a record of more than 4194304 bytes/ });
});

test('A packed list that is abandoned, or cut with the run, is closed at the server.', async () => {
  for (const how of ['abandoned', 'cut']) {
    let closed = false;
    await using source = await open('ndjson', (response) => {
      response.once('close', () => {
        closed = true;
      });
      const packing = createGzip();
      packing.pipe(response.writeHead(200, { 'content-encoding': 'gzip' }));
      for (let times = 0; times < 100; times++) packing.write('{}\n'.repeat(1000));
      packing.flush();
    });
    const pages = source.source.pages({}, null);
    assert.equal((await pages.next()).value?.records.length, 500);
    const reason = new Error('enough');
    if (how === 'abandoned') await pages.return(undefined);
    else {
      source.cut.abort(reason);
      await assert.rejects(Array.fromAsync(pages), reason);
    }
    await until(() => closed);
  }
});

for (const format of formats) {
  test(`HTML in place of a stream in ${format} is asked for again; five times it is an error that says so.`, async () => {
    const html = { 'content-type': 'text/html' };
    const faults: ((response: ServerResponse) => void)[] = [
      (response) => response.writeHead(200, html).end('\ufeff\n <!doctype html>'),
      (response) => response.writeHead(200, { ...html, 'content-encoding': 'gzip' }).end(gzipSync('<html></html>')),
    ];
    for (const fault of faults) {
      await using once = await open(format, (response, attempt) => {
        if (attempt > 1) return void response.end(written[format]([1, 2]));
        fault(response);
      });
      assert.deepEqual(recordsOf(await once.readAll()), [1, 2]);
      assert.equal(once.requests.length, 2);

      await using always = await open(format, fault);
      const message = /^GET \/all at the source: it answered with what is no JSON, from its first byte .*"text\/html"/;
      await assert.rejects(always.readAll(), { name: 'SourceError', message });
      assert.equal(always.requests.length, 5);
    }
  });
}

test('An object and an empty body are no JSON array, and gzip is no JSON.', async () => {
  const gzip = Buffer.from('1f8b08000000000000138b8e05002906bb0d02000000', 'hex');
  for (const body of ['{"data":[]}', '', ' ', '"text"', 'null', gzip]) {
    await using source = await open('json-array', (response) => void response.end(body));
    await assert.rejects(source.readAll(), { name: 'SourceError', message: /^the stream at \/all is .*\(record 1,/ });
  }
});

test('A record without an end is given up at the bound, and so is a stream of nothing but blanks.', async () => {
  for (const [begin, goOn] of [
    ['[{"a":"', 'x'],
    ['[{"a":[', '"",'],
    ['[', ' '],
    ['[', '\n'],
  ] as const) {
    let sent = { bytes: 0 };
    await using source = await open('json-array', (response) => {
      response.write(begin);
      sent = writeEndlessly(response, () => goOn.repeat(10_000));
    });
    const message = /has a record of more than 4194304 bytes \(record 1,/;
    await assert.rejects(source.readAll(), { name: 'SourceError', message });
    assert.ok(sent.bytes < 100_000_000, `${sent.bytes} bytes`);
  }
});

test('A connection that breaks, or falls silent, in the middle ends the list: nothing is asked for again.', async () => {
  const endings: [RegExp, (response: ServerResponse) => void][] = [
    [/^GET \/all at the source: the answer broke off/, (response) => response.destroy()],
    [/^GET \/all at the source: UND_ERR_BODY_TIMEOUT/, () => {}],
  ];
  for (const [message, end] of endings) {
    await using source = await open(
      'json-array',
      (response) => void response.write(beginning, () => end(response)),
      2000,
    );
    const seen: Page[] = [];
    await assert.rejects(source.readAll(null, {}, seen), { name: 'SourceError', message });
    assert.ok(seen.length >= 4);
    assert.equal(source.requests.length, 1);
  }
});

test('Before a stream has begun, a 503 is tried again and a 401 renews the credentials.', async () => {
  await using source = await open('json-array', (response, attempt) => {
    if (attempt === 1) response.writeHead(503, { 'retry-after': '0' }).end(secretWord.repeat(100_000));
    else if (attempt === 2) response.writeHead(401).end();
    else response.end('[1]');
  });
  assert.deepEqual(recordsOf(await source.readAll()), [1]);
  assert.notEqual(source.requests[2]?.headers.authorization, source.requests[1]?.headers.authorization);
  await using refusing = await open('json-array', (response) => void response.writeHead(403).end('[1]'));
  const message = 'GET /all at the source was answered with 403';
  await assert.rejects(refusing.readAll(), { name: 'SourceError', status: 403, message });
});

test('A slow reader makes the server wait, for longer than the time-out, and loses nothing.', async () => {
  let sent = { bytes: 0 };
  let id = 0;
  await using source = await open(
    'ndjson',
    (response) => {
      sent = writeEndlessly(response, () => `{"id":${id++},"text":"${'x'.repeat(1000)}"}\n`);
    },
    2000,
  );
  const pages = source.source.pages({}, null)[Symbol.asyncIterator]();
  const seen: Page[] = [(await pages.next()).value];
  let before = -1;
  for (let waits = 0; before !== sent.bytes && waits < 50; waits++) {
    before = sent.bytes;
    await sleep(2500);
  }
  assert.equal(sent.bytes, before);
  assert.ok(sent.bytes < 50_000_000, `${sent.bytes} bytes`);
  while (seen.length < 100) seen.push((await pages.next()).value);
  const ids = recordsOf(seen).map((record) => (record as { id: number }).id);
  assert.deepEqual(ids, Object.keys([...ids]).map(Number));
  await pages.return(undefined);
});

test('A list that is abandoned is closed at the server, and its error is not raised anywhere.', async () => {
  let closed = false;
  await using source = await open('ndjson', (response) => {
    response.once('close', () => {
      closed = true;
    });
    writeEndlessly(response, () => '{}\n'.repeat(1000));
  });
  for await (const { records } of source.source.pages({}, null)) {
    assert.equal(records.length, 500);
    break;
  }
  await until(() => closed);
});

test('When the run is cut, a list that is being read ends with the reason.', async () => {
  await using source = await open('json-array', (response) => void response.write(beginning));
  const reason = new Error('enough');
  const pages = source.source.pages({}, null)[Symbol.asyncIterator]();
  await pages.next();
  const next = assert.rejects(pages.next(), reason);
  source.cut.abort(reason);
  await next;
});

test('A resumed stream skips what was settled while its ETag is the same.', async () => {
  for (const format of formats) {
    await using source = await open(format, (response) => {
      response.setHeader('etag', '"a"').end(written[format](numbered(1700)));
    });
    for (const settled of [0, 1, 500, 1000, 1699, 1700]) {
      const pages = await source.readAll(`"a"#${settled}`);
      assert.deepEqual(recordsOf(pages), numbered(1700).slice(settled));
      assert.equal(pages.at(-1)?.cursor, null);
      if (pages.length > 1) assert.equal(pages[0]?.cursor, `"a"#${settled + 500}`);
    }
  }
});

test('With another ETag, without one, or with fewer records than before, the cursor is refused before any page.', async () => {
  const refusals: [cursor: string, etag: string | undefined, message: RegExp][] = [
    ['"a"#500', '"b"', /is another one by now: its ETag has changed/],
    ['"a"#500', 'W/"a"', /is another one by now/],
    ['"a"#500', undefined, /is another one by now/],
    ['#500', '"a"', /had no ETag/],
    ['no such cursor', '"a"', /had no ETag/],
    ['"a"#2701', '"a"', /has fewer records than were read of it before/],
  ];
  for (const [cursor, etag, message] of refusals) {
    await using source = await open('json-array', (response) => {
      if (etag !== undefined) response.setHeader('etag', etag);
      response.end(JSON.stringify(good));
    });
    await assert.rejects(source.readAll(cursor), { name: 'SourceError', cursorRefused: true, message });
  }
  await using source = await open('json-array', (response) => void response.end(JSON.stringify(good)));
  assert.equal((await source.readAll())[0]?.cursor, '#500');
});

for (const format of formats) {
  test(`A million records in ${format} are read with a heap that holds a few pages.`, async () => {
    const [begin, between, end] = format === 'ndjson' ? ['', '\n', '\n'] : ['[', ',', ']'];
    await using server = await serve(async (_, response) => {
      for (let at = 0; at < 1_000_000 && !response.destroyed; at += 1000) {
        const piece = Array.from({ length: 1000 }, (_, index) => `{"id":"${at + index}","name":"n"}`).join(between);
        if (!response.write((at === 0 ? begin : between) + piece)) await once(response, 'drain');
      }
      response.end(end);
    });
    const script = new URL('../support/count-records.ts', import.meta.url).pathname;
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--max-old-space-size=64',
      script,
      server.url,
      format,
    ]);
    // Keeping the whole list takes more than that heap, so the process would have died.
    assert.equal(Number(stdout), 1_000_000);
  });
}
