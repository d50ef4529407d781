// Two small charts of the last hour, drawn as SVG; each returns the same as a sentence.

const SVG = "http://www.w3.org/2000/svg";
const MINUTES = 60;
const EDGE = { left: 52, right: 6, top: 8, bottom: 18 };
const HEIGHT = 120;
export const ENDS = ["succeeded", "refused", "failed", "unknown", "rejected"];

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** Milliseconds as a person says them. */
export function span(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} days`;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** An empty chart as wide as its place, with the time below; `x(i)` is where minute i begins. */
function canvas(holder, last) {
  const width = Math.max(240, holder.clientWidth || 600);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img" });
  const step = (width - EDGE.left - EDGE.right) / MINUTES;
  const x = (index) => EDGE.left + index * step;
  for (const ago of width < 420 ? [60, 30, 0] : [60, 45, 30, 15, 0]) {
    const at = new Date((last + 1 - ago) * 60_000);
    const anchor = ago === 0 ? "end" : ago === 60 ? "start" : "middle";
    svg.append(shape("text", { x: x(60 - ago), y: HEIGHT - 4, "text-anchor": anchor }, clock.format(at)));
  }
  return { svg, width, step, x };
}

function level(svg, width, y, label) {
  svg.append(shape("path", { class: "axis", d: `M${EDGE.left} ${y}H${width - EDGE.right}` }));
  svg.append(shape("text", { x: EDGE.left - 6, y: y + 4, "text-anchor": "end" }, label));
}

/** What a minute says when it is pointed at. */
function hint(svg, { x, step }, index, text) {
  const hit = shape("rect", { class: "hit", x: x(index), y: 0, width: step, height: HEIGHT - EDGE.bottom });
  hit.append(shape("title", {}, text));
  svg.append(hit);
}

function put(holder, svg, sentence) {
  svg.setAttribute("aria-label", sentence);
  holder.replaceChildren(svg);
  return sentence;
}

/** The smallest 1, 2 or 5 times a power of ten that is not less. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}

/** Bars: how many ended in each minute, by how. */
export function throughput(holder, minutes, last) {
  const place = canvas(holder, last);
  const { svg, width, step, x } = place;
  const all = Array.from({ length: MINUTES }, (_, i) => minutes.get(last - MINUTES + 1 + i)?.ends ?? {});
  const sums = all.map((ends) => ENDS.reduce((sum, end) => sum + (ends[end] ?? 0), 0));
  const top = round(Math.max(1, ...sums));
  const floor = HEIGHT - EDGE.bottom;
  const scale = (floor - EDGE.top) / top;
  level(svg, width, EDGE.top, top.toLocaleString());
  level(svg, width, floor, "0");
  all.forEach((ends, i) => {
    let y = floor;
    for (const end of ENDS.filter((each) => ends[each])) {
      const height = Math.max(1, ends[end] * scale);
      y -= height;
      svg.append(shape("rect", { class: end, x: x(i) + 0.5, y, width: Math.max(1, step - 1), height }));
    }
    if (sums[i]) {
      const parts = ENDS.filter((end) => ends[end]).map((end) => `${ends[end]} ${end}`).join(", ");
      hint(svg, place, i, `${clock.format((last - MINUTES + 1 + i) * 60_000)}: ${parts}`);
    }
  });
  const total = sums.reduce((sum, each) => sum + each, 0);
  if (!total) return put(holder, svg, "Nothing has ended in the last hour.");
  const counts = ENDS.map((end) => [end, all.reduce((sum, ends) => sum + (ends[end] ?? 0), 0)])
    .filter(([, count]) => count).map(([end, count]) => `${count.toLocaleString()} ${end}`).join(", ");
  const busiest = sums.indexOf(Math.max(...sums));
  const when = clock.format((last - MINUTES + 1 + busiest) * 60_000);
  return put(holder, svg, `${counts}. Busiest minute: ${when} with ${sums[busiest].toLocaleString()}.`);
}

/** Two curves on a logarithmic scale: what half of them took at most, and what 95 % took. */
export function latency(holder, minutes, last, hour) {
  const place = canvas(holder, last);
  const { svg, width, step, x } = place;
  const all = Array.from({ length: MINUTES }, (_, i) => minutes.get(last - MINUTES + 1 + i));
  const known = all.filter((each) => each && each.p50 !== null);
  if (!known.length) return put(holder, svg, "No command has finished in the last hour.");
  const low = Math.floor(Math.log10(Math.max(1, Math.min(...known.map((each) => each.p50)))));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(1, ...known.map((each) => each.p95)))));
  const floor = HEIGHT - EDGE.bottom;
  const y = (ms) => floor - ((Math.log10(Math.max(1, ms)) - low) / (high - low)) * (floor - EDGE.top);
  for (let power = low; power <= high; power += 1) {
    const ms = 10 ** power;
    level(svg, width, y(ms), ms < 1000 ? `${ms} ms` : `${ms / 1000} s`);
  }
  for (const name of ["p50", "p95"]) {
    let path = "";
    all.forEach((each, i) => {
      if (!each || each.p50 === null) return;
      const here = `${x(i) + step / 2} ${y(each[name])}`;
      const before = i > 0 && all[i - 1] && all[i - 1].p50 !== null;
      path += `${before ? "L" : "M"}${here}`;
      svg.append(shape("circle", { class: `dot ${name}`, cx: x(i) + step / 2, cy: y(each[name]), r: 1.8 }));
    });
    svg.append(shape("path", { class: `curve ${name}`, d: path }));
  }
  all.forEach((each, i) => {
    if (!each || each.p50 === null) return;
    const when = clock.format((last - MINUTES + 1 + i) * 60_000);
    hint(svg, place, i, `${when}: half within ${span(each.p50)}, 95 % within ${span(each.p95)}`);
  });
  const half = `Half within ${span(hour.p50)} (lighter)`;
  return put(holder, svg, `${half}, 95 % within ${span(hour.p95)} (stronger); waiting for another try included.`);
}
