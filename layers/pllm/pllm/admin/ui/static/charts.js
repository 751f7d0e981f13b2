// Small charts in SVG. Each has its numbers as a table too, for whoever cannot see it or wants to read it to the unit.

import { table } from "./components.js";
import { h, replace, svg, update } from "./dom.js";

const PAD = { top: 10, right: 8, bottom: 24, left: 0 };
const LABEL_WIDTH_PX = 56;

/**
 * A time series that keeps its place: -> { node, show(points) }. points: [{ at: epoch ms, values: { key: number | null } }],
 * in the order of time and evenly apart; null is a gap. series: [{ key, label, tone: 1 | 2 | 3 | 4 | "bad" }].
 * kind: "bars" (stacked) or "lines". format: a value as text, time: an instant as text; `tick` and `axis` are short forms of
 * them for the axes.
 */
export function timeSeries({ title, series, format, tick = format, time, axis = time, kind = "bars", height = 190, none = "Nothing in this time" }) {
  const picture = h("div", { class: "chart-picture" });
  const tip = h("div", { class: "chart-tip", "aria-hidden": "true", hidden: true });
  const numbers = h("div", null);
  const legend = h("ul", { class: "chart-legend" }, series.map((one) => h("li", null, swatch(one), one.label)));
  const details = h("details", { class: "chart-data" }, h("summary", null, "Numbers"), numbers);
  const node = h("figure", { class: "chart" }, legend, h("div", { class: "chart-stage" }, picture, tip), details);
  const chart = { title, series, format, tick, time, axis, kind, height, none: "" }; // that there is nothing is not known yet
  let points = [];
  let width = 0;

  function draw() {
    tip.hidden = true;
    series.forEach((one, place) => (legend.children[place].hidden = kind === "lines" && points.length > 0 && !points.some((point) => known(point, one))));
    if (width) replace(picture, drawing(chart, points, width, (point, x) => point ? showTip(tip, chart, point, x, width) : (tip.hidden = true)));
  }

  function show(wanted) {
    points = wanted;
    chart.none = none;
    draw();
    if (details.open) tell();
  }

  function tell() {
    const columns = [{ label: "Time", header: true, cell: (point) => time(point.at) }];
    for (const one of series) columns.push({ label: one.label, align: "end", cell: (point) => format(point.values[one.key]) });
    update(numbers, table({ caption: `${title}, as numbers`, columns, rows: [...points].reverse() }));
  }

  details.addEventListener("toggle", () => details.open && tell());
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now !== width) {
      width = now;
      draw();
    }
  }).observe(picture);
  return { node, show };
}

function drawing(chart, points, width, hovered) {
  const { series, kind, height, tick: short, axis } = chart;
  const totals = points.map((point) => series.map((one) => point.values[one.key] ?? 0));
  const highest = Math.max(0, ...totals.map((values) => (kind === "bars" ? values.reduce((sum, value) => sum + value, 0) : Math.max(0, ...values))));
  const seen = points.some((point) => series.some((one) => known(point, one) && (kind === "lines" || point.values[one.key] > 0)));
  const ticks = niceTicks(highest);
  const top = ticks.at(-1);
  const inner = { width: width - PAD.left - PAD.right - LABEL_WIDTH_PX, height: height - PAD.top - PAD.bottom };
  const step = inner.width / Math.max(points.length, 1);
  const place = {
    x: (index) => PAD.left + LABEL_WIDTH_PX + (index + 0.5) * step,
    y: (value) => PAD.top + inner.height * (1 - value / top),
  };
  const grid = ticks.map((tick) => [
    svg("line", { class: tick === 0 ? "chart-base" : "chart-grid", x1: PAD.left + LABEL_WIDTH_PX, x2: width - PAD.right, y1: place.y(tick), y2: place.y(tick) }),
    svg("text", { class: "chart-label", x: PAD.left + LABEL_WIDTH_PX - 8, y: place.y(tick) + 4, "text-anchor": "end" }, seen || tick === 0 ? short(tick) : ""),
  ]);
  const every = Math.max(1, Math.ceil(points.length / Math.max(2, Math.floor(inner.width / 90))));
  const marked = points.map((point, index) => ({ index, name: axis(point.at) })).filter(({ index }) => (points.length - 1 - index) % every === 0);
  const times = marked.map(({ index, name }, at) => name !== marked[at - 1]?.name && svg("text", { class: "chart-label", x: Math.min(place.x(index), width - PAD.right - 18), y: height - 6, "text-anchor": "middle" }, name));
  const marks = kind === "bars" ? bars(series, points, place, step, top, inner) : lines(series, points, place);
  const none = !seen && svg("text", { class: "chart-none", x: PAD.left + LABEL_WIDTH_PX + inner.width / 2, y: PAD.top + inner.height / 2 + 4, "text-anchor": "middle" }, chart.none);
  const cursor = svg("line", { class: "chart-cursor", x1: -10, x2: -10, y1: PAD.top, y2: PAD.top + inner.height });
  const picture = svg("svg", { class: "chart-svg", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": summary(chart, points) }, grid, times, marks, none, cursor);
  picture.onpointermove = (event) => {
    const index = Math.floor((event.clientX - picture.getBoundingClientRect().left - PAD.left - LABEL_WIDTH_PX) / step);
    const point = seen ? points[index] : undefined;
    const x = point ? place.x(index) : -10;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    hovered(point, x);
  };
  picture.onpointerleave = () => {
    cursor.setAttribute("x1", -10);
    cursor.setAttribute("x2", -10);
    hovered(undefined);
  };
  return picture;
}

function known(point, one) {
  return point.values[one.key] !== null && point.values[one.key] !== undefined;
}

function bars(series, points, place, step, top, inner) {
  const width = Math.max(1, Math.min(step - (step > 6 ? 2 : step > 3 ? 1 : 0), 36));
  return points.map((point, index) => {
    let below = 0;
    return series.map((one) => {
      const value = point.values[one.key] ?? 0;
      if (value <= 0) return null;
      const height = Math.max((value / top) * inner.height, 1);
      below += value;
      return svg("rect", { class: `tone-fill-${one.tone}`, x: place.x(index) - width / 2, y: place.y(below), width, height, rx: Math.min(2, width / 3) });
    });
  });
}

function lines(series, points, place) {
  return series.map((one) => {
    const has = (index) => points[index] !== undefined && known(points[index], one);
    let path = "";
    const dots = [];
    points.forEach((point, index) => {
      if (!has(index)) return;
      const [x, y] = [place.x(index).toFixed(1), place.y(point.values[one.key]).toFixed(1)];
      path += `${has(index - 1) ? "L" : "M"}${x} ${y}`;
      if (!has(index - 1) && !has(index + 1)) dots.push(svg("circle", { class: `tone-fill-${one.tone}`, cx: x, cy: y, r: 2.5 }));
    });
    return [svg("path", { class: `chart-line tone-line-${one.tone}`, d: path }), dots];
  });
}

/** From 0 in three or four round steps to at least the highest. */
function niceTicks(highest) {
  if (highest <= 0) return [0, 1];
  const rough = highest / 3;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((one) => one * size >= rough) * size;
  return Array.from({ length: Math.ceil(highest / step - 1e-9) + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

function summary(chart, points) {
  const parts = chart.series.map((one) => {
    const values = points.map((point) => point.values[one.key]).filter((value) => value !== null && value !== undefined);
    if (values.length === 0) return `${one.label}: nothing`;
    return `${one.label}: last ${chart.format(values.at(-1))}, highest ${chart.format(Math.max(...values))}`;
  });
  return `${chart.title}. ${parts.join(". ")}.`;
}

function showTip(tip, chart, point, x, width) {
  const rows = chart.series.filter((one) => chart.kind === "bars" || known(point, one)).map((one) => h("li", null, swatch(one), h("span", null, one.label), h("strong", null, chart.format(point.values[one.key]))));
  replace(tip, h("p", { class: "small muted" }, chart.time(point.at)), h("ul", null, rows));
  tip.hidden = false;
  const left = x > width / 2 ? x - tip.offsetWidth - 10 : x + 10;
  tip.style.transform = `translateX(${Math.round(Math.max(0, left))}px)`; // the object model, which the policy allows
}

function swatch(one) {
  return svg("svg", { class: "swatch", viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" }, svg("rect", { class: `tone-fill-${one.tone}`, width: 10, height: 10, rx: 3 }));
}

/**
 * Shares as bars under their names: items: [{ label, value, text, detail }]; `text` is the value as people read it. The
 * longest bar is the largest value, or what `most` says. For update(): it has no state.
 */
export function barList({ label, items, tone = 1, most = Math.max(...items.map((item) => item.value), 0) || 1 }) {
  const rows = items.map((item) =>
    h(
      "li",
      { "data-key": item.label },
      h("div", { class: "bar-words" }, h("span", { class: "bar-label" }, item.label), h("span", { class: "bar-value" }, h("strong", null, item.text), item.detail && h("span", { class: "muted" }, ` ${item.detail}`))),
      svg("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { class: "bar-track", width: 100, height: 6 }), svg("rect", { class: `tone-fill-${tone}`, width: Math.max((100 * item.value) / most, item.value > 0 ? 0.5 : 0), height: 6 })),
    ),
  );
  return h("ul", { class: "bars", "aria-label": label }, rows);
}
