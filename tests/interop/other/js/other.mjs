// Does with nats.js what its users do, against the server whose URL is its one argument. It prints a line for each thing that
// worked, and ends with 1 at the first that did not.
import { connect, headers } from "@nats-io/transport-node";

const patience = 20_000;

function check(name, ok, details) {
  console.log(ok ? "ok" : "FAILED", name, ok ? "" : details ?? "");
  if (!ok) process.exit(1);
}

const tls = process.env.AUTHORITY ? { tls: { caFile: process.env.AUTHORITY } } : {};
const open = (options) => connect({ ...tls, servers: process.argv[2], reconnect: false, timeout: patience, ...options });

async function next(sub, count) {
  const messages = [];
  for await (const msg of sub) {
    messages.push(msg);
    if (messages.length === count) break;
  }
  return messages;
}

async function publishAndSubscribe(one, two) {
  const sub = one.subscribe("js.pub.*", { max: 1001 });
  await one.flush();
  for (let i = 0; i < 1000; i++) two.publish("js.pub.a", `${i}`, { reply: "answers" });
  const big = new Uint8Array(1 << 20).map((_, i) => i % 251);
  two.publish("js.pub.b", big);
  const messages = await next(sub, 1001);
  const ordered = messages.slice(0, 1000).every((msg, i) => msg.string() === `${i}` && msg.reply === "answers");
  check("publish and subscribe", ordered && Buffer.compare(messages[1000].data, big) === 0);
}

async function limits(one, two) {
  const sub = one.subscribe("js.limit", { max: 3 });
  await one.flush();
  for (let i = 0; i < 5; i++) two.publish("js.limit");
  let received = 0;
  for await (const _ of sub) received++;
  check("auto-unsubscribe", received === 3, received);
  const quiet = await open({ noEcho: true });
  const mine = quiet.subscribe("js.echo");
  const theirs = one.subscribe("js.echo", { max: 1 });
  await one.flush();
  quiet.publish("js.echo");
  await next(theirs, 1);
  await quiet.flush();
  check("no echo", mine.getReceived() === 0);
  await quiet.close();
}

async function queues(one, two) {
  const shares = [0, 0, 0];
  await new Promise((resolve) => {
    [one, two, one].forEach((nc, member) =>
      nc.subscribe("js.jobs.>", {
        queue: "workers",
        callback: () => {
          shares[member]++;
          if (shares[0] + shares[1] + shares[2] === 300) resolve();
        },
      }),
    );
    Promise.all([one.flush(), two.flush()]).then(() => {
      for (let i = 0; i < 300; i++) two.publish("js.jobs.new");
    });
  });
  check("queue groups", shares.every((share) => share > 0), shares);
}

async function requests(one, two) {
  one.subscribe("js.echo.upper", { callback: (_, msg) => msg.respond(msg.string().toUpperCase()) });
  await one.flush();
  for (const noMux of [false, true]) {
    for (let i = 0; i < 50; i++) {
      const msg = await two.request("js.echo.upper", `x${i}`, { timeout: patience, noMux });
      if (msg.string() !== `X${i}`) check("requests", false, msg.string());
    }
    check(noMux ? "requests without mux" : "requests", true);
    const error = await two.request("js.nobody", "", { timeout: patience, noMux }).catch((error) => error);
    check("no responders", /no responders/i.test(`${error} ${error.cause ?? ""}`), `${error}`);
  }
}

async function withHeaders(one, two) {
  const sub = one.subscribe("js.headers", { max: 1 });
  await one.flush();
  const wanted = headers();
  wanted.append("Trace", "1");
  wanted.append("Trace", "2");
  two.publish("js.headers", "data", { headers: wanted });
  const [msg] = await next(sub, 1);
  check("headers", msg.headers.values("Trace").join() === "1,2" && msg.string() === "data");
}

async function draining(one) {
  const nc = await open();
  let received = 0;
  nc.subscribe("js.drain", { callback: () => received++ });
  await nc.flush();
  for (let i = 0; i < 500; i++) one.publish("js.drain");
  await one.flush();
  await nc.drain();
  check("drain", received === 500 && nc.isClosed(), received);
}

const [one, two] = [await open({ name: "one" }), await open({ name: "two", verbose: true, pedantic: true })];
check("connect", one.info.headers === true && one.info.max_payload === 1 << 20);
check("round trip", (await one.rtt()) >= 0);
await publishAndSubscribe(one, two);
await limits(one, two);
await queues(one, two);
await requests(one, two);
await withHeaders(one, two);
await draining(one);
await Promise.all([one.close(), two.close()]);
console.log("done");
