// Keeps what the service tells, and shows it. Everything from outside becomes text, never markup.

import { latency, span, throughput } from "./charts.js";

const RETRY = 2000; // milliseconds before a refused connection is tried again
const COLUMNS = 7;
const $ = (id) => document.getElementById(id);

const commands = new Map(); // by the journal's number
const views = new Map(); // their rows
const minutes = new Map();
let hour = {};
let standing = null;
let about = {};
let since = "";
let skew = 0; // how far the service's clock is ahead of ours
let source = null;
let lostAt = 0;
let frozen = null; // the numbers in the list while it is held
let drawn = {};
let due = false;

// ---- small things

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function say(element, text, kind) {
  if (element.textContent !== text) element.textContent = text;
  if (kind !== undefined && element.className !== kind) element.className = kind;
}

const now = () => Date.now() + skew;
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "short" });
const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

function local(ms) {
  const today = day.format(now()) === day.format(ms);
  return today ? clock.format(ms) : `${day.format(ms)} ${clock.format(ms)}`;
}

function setTime(element, ms) {
  const iso = new Date(ms).toISOString();
  if (element.dateTime === iso) return;
  element.dateTime = iso;
  element.title = `${iso.slice(0, 10)} ${iso.slice(11, 23)} UTC`;
  element.textContent = local(ms);
}

const short = (type) => type.replace(/^courier\./, "").replace(/\.v1$/, "") || "no command";
const plural = (count, one, many) => `${count.toLocaleString()} ${count === 1 ? one : many}`;
const age = (ms) => (ms < 1000 ? "now" : span(Math.floor(ms / 1000) * 1000).replace(/\.0+ s$/, " s"));

// ---- what comes in

function take(news) {
  skew = news.now - Date.now();
  if (news.whole) {
    commands.clear();
    minutes.clear();
    about = { version: news.version, started: news.started };
    if (news.since.split(".")[0] !== since.split(".")[0]) beginAnew();
  }
  since = news.since;
  for (const number of news.gone) commands.delete(number);
  for (const each of news.commands) commands.set(each.number, each);
  for (const each of news.minutes) minutes.set(each.number, each);
  for (const number of minutes.keys()) if (number < now() / 60_000 - 61) minutes.delete(number);
  hour = news.hour;
  standing = news.standing ?? standing;
  draw();
}

/** Another process has numbers of its own. */
function beginAnew() {
  views.clear();
  for (const id of ["running", "ended"]) $(id).replaceChildren();
  frozen = null;
  setHold(false);
}

function draw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    if (!standing) return;
    showState();
    showAttention();
    showAppliances();
    showQueues();
    showCommands();
    showCharts();
  });
}

// ---- state, and what needs a person

function showState() {
  const trouble = standing.attention.length + standing.ledger.unknown;
  if (!lostAt) say($("state"), standing.ready ? "ready" : "not ready", `pill ${standing.ready ? "good" : "bad"}`);
  say($("version"), about.version);
  const under = [...commands.values()].filter((each) => each.state !== "ended");
  const waiting = under.filter((each) => each.state === "waiting").length;
  say($("summary"), [
    `${under.length - waiting} running`,
    `${waiting} waiting`,
    plural(standing.appliances.length, "appliance", "appliances"),
    `since ${local(about.started)}`,
  ].join(" · "));
  const mark = lostAt || !standing.ready ? "✕ " : trouble ? `(${trouble}) ` : "";
  if (document.title !== `${mark}Appliance Courier`) document.title = `${mark}Appliance Courier`;
}

function showAttention() {
  const { ledger, attention } = standing;
  const told = JSON.stringify([attention, ledger]);
  if (drawn.attention === told) return;
  drawn.attention = told;
  const items = attention.map((each) => item(each.level, [each.what], each.means, each.todo, each.commands));
  for (const each of ledger.entries) items.push(entry(each));
  if (ledger.more) items.push(item("warning", [`${ledger.more} more`], "Only the oldest are listed.", "", ["courier ledger list"]));
  if (ledger.stale) {
    items.push(item("warning", ["ledger"], "The ledger could not be read for a while; its figures here are old.", "", []));
  }
  $("attention-list").replaceChildren(...items);
  $("attention").hidden = !items.length;
  const urgent = ledger.unknown || attention.some((each) => each.level === "error");
  $("attention").classList.toggle("bad-news", Boolean(urgent));
}

function entry(each) {
  const head = [`${each.is === "unknown" ? "outcome unknown" : "write not settled yet"}: ${short(each.type)} on ${each.appliance}, `];
  head.push(make("span", { class: "id" }, each.id));
  if (each.since !== null) head.push(" for ", make("span", { "data-since": each.since }, age(now() - each.since)));
  return item(each.is === "unknown" ? "error" : "info", head, each.means, "", each.commands);
}

function item(kind, head, means, todo, lines) {
  const colour = { error: "bad", warning: "warn", info: "rest" }[kind];
  const made = make("li", {}, make("p", {}, make("strong", { class: colour }, ...head)), make("p", {}, [means, todo].filter(Boolean).join(" ")));
  for (const line of lines) made.append(make("div", { class: "do" }, make("code", {}, line), ...copying(line)));
  return made;
}

function copying(text) {
  if (!navigator.clipboard) return [];
  const button = make("button", { type: "button", class: "copy", "aria-label": `Copy: ${text}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return [button];
}

// ---- appliances and queues

function table(name, told, rows) {
  const text = JSON.stringify(told);
  if (drawn[name] === text) return;
  drawn[name] = text;
  $(name).replaceChildren(...rows());
}

function showAppliances() {
  const colours = { refused: "bad", open: "good", opening: "warn", closed: "rest" };
  table("appliances", standing.appliances, () => standing.appliances.map((each) => make("tr", {},
    make("th", { scope: "row" }, each.name),
    make("td", { class: "minor rest" }, each.kind),
    make("td", { class: colours[each.session] ?? "" }, each.session),
    make("td", { class: each.breaker === "closed" ? "rest" : "warn" }, each.breaker === "open" ? "open: rests" : each.breaker),
    make("td", { class: "n" }, each.in_flight.toLocaleString()),
    make("td", { class: "n" }, each.logins.toLocaleString()),
    make("td", { class: each.refused_logins ? "n bad" : "n rest" }, each.refused_logins.toLocaleString()))));
}

function showQueues() {
  table("queues", standing.queues, () => standing.queues.map((each) => make("tr", {},
    make("th", { scope: "row" }, each.name.replace(/^courier\./, "")),
    make("td", { class: "minor rest" }, each.is),
    make("td", { class: each.messages ? "n" : "n rest" }, each.messages.toLocaleString()),
    make("td", { class: "n rest" }, each.consumers.toLocaleString()))));
}

// ---- commands

function view(command) {
  let made = views.get(command.number);
  if (!made) {
    const cells = Array.from({ length: COLUMNS }, () => make("td"));
    const time = make("time");
    const opener = make("button", { type: "button", class: "opener", "aria-expanded": "false" }, time);
    cells[0].append(opener);
    cells[4].className = "n";
    cells[5].className = "n minor";
    cells[6].className = "id minor";
    const row = make("tr", { class: "row", "data-number": command.number }, ...cells);
    made = { number: command.number, cells, time, opener, row, story: null, shown: -1 };
    views.set(command.number, made);
  }
  if (made.shown !== command.changed) fill(made, command);
  return made;
}

function fill(made, command) {
  const { cells } = made;
  const ended = command.state === "ended";
  made.shown = command.changed;
  made.command = command;
  setTime(made.time, ended ? command.ended : command.received);
  say(cells[1], short(command.type));
  say(cells[2], command.appliance || "–");
  say(cells[5], command.attempts === null ? "–" : String(command.attempts));
  say(cells[6], command.id || "–");
  cells[6].title = command.id;
  if (ended) {
    const colours = { succeeded: "good", refused: "warn", failed: "bad", unknown: "unsure", rejected: "rest" };
    const how = command.conclusion + (command.error ? `: ${command.error}` : "");
    say(cells[3], how + (command.repeated ? ", told again" : ""), colours[command.conclusion] ?? "");
    say(cells[4], command.duration === null ? "–" : span(command.duration));
  }
  made.opener.setAttribute("aria-label", `Timeline: ${made.time.textContent}, ${short(command.type)}, ${command.appliance}`);
  if (made.story) tell(made);
  tick(made);
}

/** What changes by itself. */
function tick(made) {
  const { command, cells } = made;
  if (command.state === "ended") return;
  say(cells[4], age(now() - command.received));
  if (command.state === "running") say(cells[3], "running", "good");
  else {
    const left = command.until - now();
    const when = left > 0 ? `waits ${age(Math.ceil(left / 1000) * 1000)} more` : "is back in its queue";
    say(cells[3], command.error ? `${when}: ${command.error}` : when, "warn");
  }
}

const latest = (a, b) => b.ended - a.ended || b.number - a.number;

function showCommands() {
  const focused = document.activeElement;
  const all = [...commands.values()];
  const under = all.filter((each) => each.state !== "ended").sort((a, b) => a.received - b.received || a.number - b.number);
  const ended = all.filter((each) => each.state === "ended").sort(latest);
  const isRead = (made) => made.story && commands.get(made.number)?.state === "ended";
  if (!frozen && [...views.values()].some(isRead)) frozen = ended.map((each) => each.number);
  const listed = frozen ? frozen.map((number) => commands.get(number) ?? views.get(number)?.command).filter(Boolean) : ended;
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fitting = listed.filter((each) => words.every((word) => matches(each, word)));
  const shown = [...under, ...listed].map(view);
  place($("running"), under.map(view));
  place($("ended"), fitting.map(view));
  const kept = new Set(shown);
  for (const [number, made] of views) if (!kept.has(made)) views.delete(number);
  say($("running-count"), under.length ? String(under.length) : "");
  $("running-none").hidden = under.length > 0;
  $("running-some").hidden = !under.length;
  say($("ended-count"), words.length ? `${fitting.length} of ${listed.length}` : String(listed.length || ""));
  $("ended-none").hidden = fitting.length > 0;
  say($("ended-none"), listed.length ? "None of them fits the filter." : "Nothing has ended since the service started.");
  const newer = frozen ? ended.filter((each) => !frozen.includes(each.number)).length : 0;
  say($("held"), frozen ? (newer ? `held; ${newer === 200 ? "200 or more" : newer} newer` : "held") : "");
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

function matches(command, word) {
  return [command.id, short(command.type), command.appliance, command.conclusion, command.error, command.correlation_id]
    .some((text) => text.toLowerCase().includes(word));
}

/** Put rows in order, and touch only those that are not where they belong. */
function place(body, made) {
  const rows = made.flatMap((each) => (each.story ? [each.row, each.story] : [each.row]));
  const wanted = new Set(rows);
  for (const row of [...body.children]) if (!wanted.has(row)) row.remove();
  let at = body.firstElementChild;
  for (const row of rows) {
    if (row === at) at = at.nextElementSibling;
    else body.insertBefore(row, at);
  }
}

// ---- a command's timeline

function toggle(made, open = !made.story) {
  if (open === Boolean(made.story)) return;
  made.opener.setAttribute("aria-expanded", String(open));
  made.row.classList.toggle("open", open);
  if (open) {
    const id = `story-${made.number}`;
    made.story = make("tr", { class: "story", id }, make("td", { colspan: COLUMNS }, "…"));
    made.opener.setAttribute("aria-controls", id);
    made.row.after(made.story);
    // A list that moves on would take away what is being read.
    if (made.command.state === "ended" && !frozen) hold(true);
    tell(made);
  } else {
    made.story.remove();
    made.story = null;
    made.opener.removeAttribute("aria-controls");
    if (frozen && !held() && ![...views.values()].some((each) => each.story)) hold(false);
  }
}

async function tell(made) {
  let answer;
  try {
    answer = await fetch(`/page/commands/${made.number}`);
    if (!made.story) return;
    if (!answer.ok) throw new Error(answer.statusText);
    made.story.replaceChildren(make("td", { colspan: COLUMNS }, ...timeline(await answer.json())));
  } catch {
    if (made.story && !made.story.querySelector("ol")) {
      say(made.story.firstElementChild, answer ? "This command is not kept any more." : "The service does not answer.");
    }
  }
}

function timeline(command) {
  const begin = command.lines[0]?.at ?? command.received;
  const time = make("time");
  setTime(time, begin);
  const facts = [`id ${command.id || "unknown"}`];
  if (command.correlation_id && command.correlation_id !== command.id) facts.push(`correlation id ${command.correlation_id}`);
  if (command.left_out) facts.push(`${plural(command.left_out, "earlier line", "earlier lines")} left out`);
  const list = make("ol", { "aria-label": "Timeline" });
  for (const line of command.lines) {
    const kind = { warning: "warn", error: "bad", critical: "bad" }[line.level] ?? "";
    const rest = Object.entries(line.fields).map(([name, value]) => field(name, value)).join(" · ");
    list.append(make("li", {},
      make("span", { class: "at" }, `+${(line.at - begin).toLocaleString()} ms`),
      make("span", { class: kind }, line.event),
      make("span", { class: "more" }, rest)));
  }
  return [make("p", { class: "quiet" }, facts.join(" · "), " · from ", time), list];
}

function field(name, value) {
  const unit = name.endsWith("_ms") ? " ms" : name === "retry_in" || name === "seconds" ? " s" : "";
  return `${name.replace(/_ms$/, "").replace(/_/g, " ")} ${value}${unit}`;
}

// ---- the list stands still on request

const held = () => $("hold").getAttribute("aria-pressed") === "true";
const setHold = (pressed) => $("hold").setAttribute("aria-pressed", String(pressed));

function hold(still) {
  frozen = still ? [...commands.values()].filter((each) => each.state === "ended").sort(latest).map((each) => each.number) : null;
  draw();
}

$("hold").addEventListener("click", () => {
  setHold(!held());
  if (!held()) for (const made of views.values()) if (made.story && made.command.state === "ended") toggle(made, false);
  hold(held());
});
$("filter").addEventListener("input", draw);

for (const id of ["running", "ended"]) {
  $(id).addEventListener("click", (event) => {
    const row = event.target.closest("tr.row");
    const marked = String(getSelection()) && !event.target.closest("button");
    if (row && !marked) toggle(views.get(Number(row.dataset.number)));
  });
  $(id).addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    const made = row && views.get(Number((row.dataset.number ?? row.id.replace("story-", ""))));
    if (!made) return;
    if (event.key === "Escape" && made.story) {
      toggle(made, false);
      made.opener.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const openers = [...$(id).querySelectorAll(".opener")];
      const next = openers[openers.indexOf(made.opener) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) {
        next.focus();
        event.preventDefault();
      }
    }
  });
}

// ---- figures

function showCharts() {
  const last = Math.floor(now() / 60_000);
  const told = JSON.stringify([last, hour, [...minutes.values()], $("throughput").clientWidth]);
  if (drawn.charts === told) return;
  drawn.charts = told;
  say($("throughput-text"), throughput($("throughput"), minutes, last));
  say($("latency-text"), latency($("latency"), minutes, last, hour));
}

new ResizeObserver(draw).observe($("throughput"));

setInterval(() => {
  for (const made of views.values()) if (made.command.state !== "ended") tick(made);
  for (const each of document.querySelectorAll("[data-since]")) say(each, age(now() - Number(each.dataset.since)));
  if (standing) showCharts();
}, 1000);

// ---- the connection

function connected() {
  lostAt = 0;
  say($("link"), "live");
  document.body.classList.remove("lost");
}

function lost() {
  lostAt ||= Date.now();
  say($("state"), "no answer", "pill bad");
  say($("link"), `The service does not answer since ${clock.format(lostAt)}; trying again. What you see is from then.`);
  document.body.classList.add("lost");
  if (standing) showState();
}

function follow() {
  source?.close();
  source = new EventSource(`/page/stream?since=${encodeURIComponent(since)}`);
  source.onmessage = (event) => {
    connected();
    take(JSON.parse(event.data));
  };
  source.onopen = () => {
    connected();
    draw();
  };
  source.onerror = () => {
    lost();
    // It tries again by itself, unless it was refused.
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, RETRY);
  };
}

async function begin() {
  try {
    const answer = await fetch("/page/state");
    if (!answer.ok) throw new Error(answer.statusText);
    take(await answer.json());
  } catch {
    lost();
  }
  follow();
}

// A page that nobody sees costs nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
    say($("link"), "paused while nobody looks");
  } else follow();
});

begin();
