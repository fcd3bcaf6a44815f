// The processing loop as one writes it with kafkajs, mysql2 and ioredis: decode, three price rows and one history row with
// the position in one transaction, then the cache, then the update published.
//
//   node loop.js each-message|each-batch|each-batch-coalesced WARM_UP MESSAGES
//
// `each-batch` writes all rows of a batch in multi-row statements; `-coalesced` writes of each price only the batch's last.
// Prints one JSON object: messages a second after the warm-up. Environment: PEER_KAFKA, PEER_FEED, PEER_UPDATES, PEER_MYSQL, PEER_REDIS.

import Redis from 'ioredis';
import kafkajs from 'kafkajs';
import mysql from 'mysql2/promise';

const [mode, warmUp, messages] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const { PEER_KAFKA, PEER_FEED, PEER_UPDATES, PEER_MYSQL, PEER_REDIS } = process.env;
const PARTITIONS_AT_ONCE = 6;

const kafka = new kafkajs.Kafka({ brokers: PEER_KAFKA.split(','), logLevel: kafkajs.logLevel.ERROR });
const consumer = kafka.consumer({ groupId: `${PEER_FEED}-${mode}`, maxBytesPerPartition: 1024 * 1024, rebalanceTimeout: 5000 });
const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner, idempotent: true, maxInFlightRequests: 5 });
const pool = mysql.createPool({ uri: PEER_MYSQL, connectionLimit: PARTITIONS_AT_ONCE + 1 });
const redis = new Redis(PEER_REDIS);

let done = 0;
let begun;
let ended;
const over = new Promise((resolve) => { ended = resolve; });

function count(some) {
  if (done < warmUp && done + some >= warmUp) begun = { at: process.hrtime.bigint(), done: done + some };
  done += some;
  if (done >= warmUp + messages) ended();
}

function rowsOf(partition, message, body) {
  const prices = body.markets.flatMap((market) =>
    market.outcomes.map((each) => [body.event, market.market, market.line ?? '', each.id, Math.round(each.odds * 10000), body.ts]));
  return { prices, history: [partition, Number(message.offset), body.event, body.ts, message.value.toString()] };
}

async function store(partition, prices, history, next) {
  const connection = await pool.getConnection();
  try {
    await connection.beginTransaction();
    await connection.query('INSERT INTO peer_positions VALUES (?, ?) ON DUPLICATE KEY UPDATE next_offset = VALUES(next_offset)', [partition, next]);
    await connection.query(
      'INSERT INTO peer_prices VALUES ? ON DUPLICATE KEY UPDATE odds = IF(VALUES(ts) >= ts, VALUES(odds), odds), ts = GREATEST(ts, VALUES(ts))', [prices]);
    await connection.query('INSERT INTO peer_history VALUES ?', [history]);
    await connection.commit();
  } finally {
    connection.release();
  }
}

async function work(partition, records, coalesced) {
  const bodies = records.map((each) => JSON.parse(each.value)).map((body, n) => [records[n], body]).filter(([, body]) => body.type === 'odds');
  if (bodies.length === 0) return;
  const rows = bodies.map(([record, body]) => rowsOf(partition, record, body));
  let prices = rows.flatMap((each) => each.prices);
  if (coalesced) prices = [...new Map(prices.map((row) => [row.slice(0, 4).join('|'), row])).values()];
  prices.sort((one, other) => (one.slice(0, 4).join('|') < other.slice(0, 4).join('|') ? -1 : 1));
  await store(partition, prices, rows.map((each) => each.history), Number(records.at(-1).offset) + 1);
  await redis.mset(Object.fromEntries(bodies.map(([record, body]) => [`peer:${body.event}`, record.value])));
  await producer.send({ topic: PEER_UPDATES, acks: -1, messages: bodies.map(([record, body]) => ({ key: body.event, value: record.value, partition })) });
  count(bodies.length);
}

async function prepare() {
  await pool.query('CREATE TABLE IF NOT EXISTS peer_positions (`partition` INT PRIMARY KEY, next_offset BIGINT NOT NULL)');
  await pool.query('CREATE TABLE IF NOT EXISTS peer_prices (event VARCHAR(200), market VARCHAR(100), line VARCHAR(200), outcome VARCHAR(200), odds BIGINT, ts BIGINT, PRIMARY KEY (event, market, line, outcome))');
  await pool.query('CREATE TABLE IF NOT EXISTS peer_history (`partition` INT, `offset` BIGINT, event VARCHAR(200), ts BIGINT, body LONGTEXT, PRIMARY KEY (`partition`, `offset`), KEY (event, ts))');
  for (const table of ['positions', 'prices', 'history']) await pool.query(`DELETE FROM peer_${table}`);
  await Promise.all([consumer.connect(), producer.connect()]);
  await consumer.subscribe({ topic: PEER_FEED, fromBeginning: true });
}

await prepare();
if (mode === 'each-message') {
  await consumer.run({ eachMessage: ({ partition, message }) => work(partition, [message], false) });
} else {
  await consumer.run({
    partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
    eachBatch: ({ batch }) => work(batch.partition, batch.messages, mode === 'each-batch-coalesced'),
  });
}
await over;
const seconds = Number(process.hrtime.bigint() - begun.at) / 1e9;
const used = process.cpuUsage();
console.log(JSON.stringify({ messages: done - begun.done, per_s: (done - begun.done) / seconds, cpu_s: (used.user + used.system) / 1e6, all: done, peak_mb: process.resourceUsage().maxRSS / 1024 }));
process.exit(0);
