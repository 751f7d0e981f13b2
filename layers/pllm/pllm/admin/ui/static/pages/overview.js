// Overview: what the gateway does now, and how that came about.

import { barList, timeSeries } from "../charts.js";
import { badge, card, empty, notice, pageHead, segments, short, skeleton, stat, stats } from "../components.js";
import { h, update } from "../dom.js";
import { ago, compact, milliseconds, number, percent, plural, usd, usdShort, usdWhole } from "../format.js";
import { live } from "../live.js";
import { RANGES, readNumbers, remembered, spanOf } from "../numbers.js";

export const title = "Overview";

export async function render(root, context) {
  let range = RANGES[0];
  const charts = drawCharts();
  const warning = h("div", null);
  const tiles = h("div", null, skeleton(1, { tall: true }));
  const shares = h("div", { class: "grid-2" }, card({}, skeleton(4)), card({}, skeleton(4)));
  const attention = h("div", null);
  const numbersOf = remembered((wanted) => readNumbers(context.api, { ...spanOf(wanted), groupBy: "model,deployment" }));
  const updates = live(context, async () => {
    const wanted = range;
    const [numbers, fleet] = await Promise.all([numbersOf(wanted), context.api.get("/v1/admin/models/stats")]);
    if (wanted !== range) return;
    update(warning, shedding(fleet));
    update(tiles, totals(fleet, numbers.whole));
    charts.show(numbers.points.map(drawn), wanted);
    update(shares, shareCards(fleet, numbers.groups, wanted));
    update(attention, troubles(fleet));
  });
  const choice = segments({ label: "Time", items: RANGES.map(({ id, label }) => ({ id, label })), selected: range.id, onchange: choose });
  async function choose(id) {
    range = RANGES.find((one) => one.id === id);
    charts.node.classList.add("is-stale");
    await updates.reload();
    context.announce(`Showing the last ${range.label}`);
  }
  const head = pageHead(title, "What the whole gateway does", choice, updates.controls);
  root.append(head, warning, tiles, charts.node, shares, attention);
  await updates.ready;
}

/** A point of the charts. */
function drawn({ at, ...sums }) {
  const { requests, errors, prompt_tokens: prompt, completion_tokens: completion, cost_usd: cost } = sums;
  const speed = { p50: sums.p50_latency_ms, p95: sums.p95_latency_ms, p99: sums.p99_latency_ms, first: sums.p50_ttft_ms };
  return { at, values: { answered: requests - errors, errors, prompt, completion, cost, ...speed } };
}

function drawCharts() {
  let range = RANGES[0];
  const time = (at) => range.time(at);
  const axis = (at) => range.axis(at);
  const requests = timeSeries({
    title: "Requests",
    series: [{ key: "answered", label: "Answered", tone: 1 }, { key: "errors", label: "Failed or refused", tone: "bad" }],
    format: compact, time, axis, none: "No requests in this time",
  });
  const tokens = timeSeries({
    title: "Tokens",
    series: [{ key: "prompt", label: "Prompt", tone: 2 }, { key: "completion", label: "Completion", tone: 4 }],
    format: compact, time, axis, none: "No tokens in this time",
  });
  const cost = timeSeries({ title: "Cost", series: [{ key: "cost", label: "US dollars", tone: 3 }], format: usd, tick: usdShort, time, axis, none: "Nothing was spent" });
  const latency = timeSeries({
    title: "Latency", kind: "lines",
    series: [
      { key: "first", label: "First token, p50", tone: 4 },
      { key: "p50", label: "p50", tone: 2 },
      { key: "p95", label: "p95", tone: 3 },
      { key: "p99", label: "p99", tone: 1 },
    ],
    format: milliseconds, time, axis, none: "No answers in this time",
  });
  const all = [
    [requests, "Requests", "Whatever came of them"],
    [latency, "Latency", "Of answers, until the last byte and until the first event"],
    [tokens, "Tokens", "Of prompts and of answers"],
    [cost, "Cost", "At the prices in force at the time"],
  ];
  const node = h("div", { class: "grid-2" }, all.map(([chart, name, subtitle]) => card({ title: name, subtitle }, chart.node)));
  function show(points, wanted) {
    range = wanted;
    node.classList.remove("is-stale");
    for (const [chart] of all) chart.show(points);
  }
  return { node, show };
}

function shedding(fleet) {
  if (!fleet.should_shed_load) return null;
  const shut = fleet.health.filter((one) => one.state === "open").length;
  return notice("bad", "The fleet should shed load", `Nothing can be sent to more than half of the deployments (${shut} of ${fleet.registry.total_instances} are open): callers should be asked to wait.`);
}

function totals(fleet, sums) {
  const minute = fleet.metrics.reduce((sum, one) => sum + one.requests_this_minute, 0);
  const rate = sums.requests ? sums.errors / sums.requests : null;
  const tokens = sums.prompt_tokens + sums.completion_tokens;
  const well = fleet.health.filter((one) => one.is_healthy).length;
  return stats(
    stat({ label: "Requests", value: short(compact(sums.requests), number(sums.requests)), detail: `${number(minute)} this minute` }),
    stat({ label: "Error rate", value: percent(rate), detail: `${number(sums.errors)} failed`, tone: rate > 0.1 ? "bad" : rate > 0.02 ? "warn" : "" }),
    stat({ label: "p95 latency", value: milliseconds(sums.p95_latency_ms), detail: `p50 ${milliseconds(sums.p50_latency_ms)}` }),
    stat({ label: "First token", value: milliseconds(sums.p50_ttft_ms), detail: `p50; p95 ${milliseconds(sums.p95_ttft_ms)}` }),
    stat({ label: "Tokens", value: short(compact(tokens), number(tokens)), detail: `${compact(sums.prompt_tokens)} in, ${compact(sums.completion_tokens)} out` }),
    stat({ label: "Cost", value: short(usd(sums.cost_usd), usdWhole(sums.cost_usd)), detail: sums.unpriced_requests ? `${number(sums.unpriced_requests)} without a price` : `${usd(fleet.total_cost)} in all` }),
    stat({ label: "Deployments", value: `${well} / ${fleet.registry.total_instances}`, detail: "may be sent requests", tone: well === fleet.registry.total_instances ? "" : "warn" }),
    stat({ label: "Active callers", value: number(fleet.active_users), detail: "of the last 15 min" }),
  );
}

function shareCards(fleet, groups, range) {
  const providers = new Map(fleet.health.map((one) => [one.instance_id, one.provider]));
  const byProvider = grouped(groups, (row) => (row.deployment ? (providers.get(row.deployment) ?? "no longer configured") : "none was asked"));
  const byModel = grouped(groups, (row) => row.model || "an unknown model");
  return [
    card({ title: "Models", subtitle: `Requests of the last ${range.label}`, key: "models" }, shareList("Requests by model", byModel, 1)),
    card({ title: "Providers", subtitle: `Requests of the last ${range.label}`, key: "providers" }, shareList("Requests by provider", byProvider, 2)),
  ];
}

function shareList(label, shares, tone) {
  if (shares.length === 0) return empty("Nothing yet", "What is asked for shows here.");
  return barList({ label, tone, items: shares.slice(0, 8).map((one) => ({ label: one.name, value: one.requests, text: compact(one.requests), detail: `· ${usd(one.cost)}` })) });
}

function grouped(rows, name) {
  const found = new Map();
  for (const row of rows) {
    const one = found.get(name(row)) ?? { name: name(row), requests: 0, cost: 0 };
    one.requests += row.requests;
    one.cost += row.cost_usd;
    found.set(one.name, one);
  }
  return [...found.values()].sort((a, b) => b.requests - a.requests);
}

function troubles(fleet) {
  const ill = fleet.health.filter((one) => !one.is_healthy || one.failure_count > 0).sort((a, b) => b.failure_count - a.failure_count);
  const rows = ill.slice(0, 6).map((one) =>
    h(
      "li",
      { class: "trouble", "data-key": one.instance_id },
      h("div", { class: "trouble-words" }, h("a", { href: `#/models/${encodeURIComponent(one.instance_id)}` }, one.instance_id), one.last_error && h("span", { class: "muted small" }, `${one.last_error.type.replaceAll("_", " ")}, ${ago(one.last_error.at)}`)),
      h("div", { class: "trouble-state" }, h("span", { class: "small muted" }, `${plural(one.failure_count, "failure")} in 15 min`), stateBadge(one)),
    ),
  );
  const content = rows.length > 0 ? h("ul", { class: "troubles" }, rows) : empty("All is well", "No deployment has failed within the last 15 minutes.");
  return card({ title: "Needs attention", subtitle: "Deployments that failed lately or are left alone" }, content);
}

function stateBadge(one) {
  if (one.state === "open") return badge("open", "bad");
  if (one.state === "half_open") return badge("half-open", "half");
  return badge("closed", "good");
}
