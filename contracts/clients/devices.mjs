// List all phones of a FortiVoice through Appliance Courier, by a queue of one's own.
//
// Node 18 or newer with amqplib, and nothing of the courier's own:
//
//     npm install amqplib
//     export COURIER_BROKER_URL=amqp://user:password@broker.example.net/vhost
//     node devices.mjs fvc-ottawa [part of a MAC address]
//
// Exit code 0: done. 1: failed, refused or rejected. 3: no answer; a query is never "unknown".

import { randomUUID } from "node:crypto";
import amqp from "amqplib";

const SOURCE = "/portal/phones";
const COMMAND = "courier.query-devices.v1";
const PAGE = "courier.query-devices.page.v1";
const FINISHED = "courier.query-devices.finished.v1";
const REJECTED = "courier.command.rejected.v1";
const PATIENCE = 60_000;

// Durable, as in a workflow in which one program asks and another one reads; here one at a time does
// both. When it is full it lets go of the oldest. It must never reject: then the courier could tell
// nobody anything any more.
const QUEUE = "portal-devices";
const BOUNDS = { "x-max-length": 10_000, "x-max-length-bytes": 200_000_000 };
const ARGUMENTS = { "x-queue-type": "quorum", "x-overflow": "drop-head", ...BOUNDS };

/** Who is to be told the events of a command, by the command's id. */
const listeners = new Map();
/** Events that were here before: any may come twice, and of a query the first one counts. */
const seen = new Set();

async function listen(channel) {
  await channel.assertQueue(QUEUE, { durable: true, arguments: ARGUMENTS });
  // A rejection says nothing of devices: it has a type, and so a binding, of its own.
  for (const type of [PAGE, FINISHED, REJECTED]) {
    await channel.bindQueue(QUEUE, "courier.events", `${type}.#`);
  }
  await channel.consume(QUEUE, (message) => {
    const event = JSON.parse(message.content);
    // Everybody's results come by here. An id names a command among those of one source only.
    if (event.data.command.source === SOURCE && !seen.has(event.id)) {
      seen.add(event.id);
      listeners.get(event.causationid)?.(event);
    }
    channel.ack(message);
  });
}

/** Send a command; done when the broker has it, in a queue and on its disk. */
function publish(channel, command) {
  return new Promise((resolve, reject) => {
    // The broker first returns what no queue takes, and then confirms it all the same.
    channel.once("return", () => reject(new Error("no queue takes the command")));
    const body = Buffer.from(JSON.stringify(command));
    const options = {
      contentType: "application/cloudevents+json",
      messageId: command.id,
      mandatory: true,
      persistent: true,
    };
    channel.publish("courier.commands", command.type, body, options, (refused) =>
      refused ? reject(refused) : resolve(),
    );
  });
}

/** Ask for the whole list and print it; the exit code says how that went. */
async function list(channel, filter) {
  const now = Date.now();
  const command = {
    specversion: "1.0",
    // A query may be asked again under another id. For a licence, take the order's own.
    id: randomUUID(),
    source: SOURCE,
    type: COMMAND,
    time: new Date(now).toISOString(),
    // Whoever has given up waiting wants nothing to be begun any more.
    expirytime: new Date(now + PATIENCE).toISOString(),
    data: { ...filter, stream: true },
  };
  const told = new Map();
  const end = new Promise((resolve, reject) => {
    // A long list takes its time: what is waited for is the next page.
    const late = setTimeout(() => reject(new Error("none in time")), PATIENCE);
    listeners.set(command.id, (event) => {
      late.refresh();
      if (event.type !== PAGE) return resolve(event);
      const { attempt, devices } = event.data;
      told.set(attempt, [...(told.get(attempt) ?? []), ...devices]);
    });
    late.unref();
  });
  const [event] = await Promise.all([end, publish(channel, command)]);
  const { conclusion, reason, error, stream, complete, next } = event.data;
  if (conclusion !== "succeeded") {
    // Decide by type and conclusion. Reasons and codes are for people, and may become more.
    console.error(event.type === REJECTED ? `rejected (${reason})` : `${conclusion} (${error.code})`);
    return 1;
  }
  // All pages are told before the end is. An attempt that broke off has told some, too: drop them.
  const devices = told.get(stream.attempt) ?? [];
  if (devices.length !== stream.devices) throw new Error("pages were missed");
  for (const { mac, phone_type, extension, name } of devices) {
    console.log([mac, phone_type, extension?.number, name].map((text) => text ?? "-").join("\t"));
  }
  if (!complete) console.error("the phones changed while they were listed: ask again");
  if (next !== null) console.error(`that is not all: go on with start ${next}`);
  return next === null ? 0 : 1;
}

const [appliance, search] = process.argv.slice(2);
if (!appliance) {
  console.error("usage: node devices.mjs APPLIANCE [PART-OF-A-MAC]");
  process.exit(2);
}
try {
  const connection = await amqp.connect(process.env.COURIER_BROKER_URL);
  const channel = await connection.createConfirmChannel();
  const lost = new Promise((_, reject) => {
    connection.on("error", reject);
    channel.on("error", reject);
  });
  await Promise.race([lost, listen(channel)]);
  process.exitCode = await Promise.race([lost, list(channel, { appliance, search })]);
  await connection.close();
} catch (error) {
  console.error(`no answer: ${error.message}`);
  process.exit(3);
}
