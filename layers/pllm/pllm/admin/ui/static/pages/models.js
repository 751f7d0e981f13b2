// Models and breakers: who serves each model, how well, and an administrator's word on whom to ask.

import { badge, button, card, empty, field, pageHead, segments, short, skeleton, table } from "../components.js";
import { h, update } from "../dom.js";
import { ago, clock, compact, dateTime, milliseconds, number, percent, plural } from "../format.js";
import { live } from "../live.js";
import { RANGES, readNumbers, remembered, spanOf } from "../numbers.js";
import { changeBreaker } from "./models/breaker_dialog.js";

export const title = "Models";

export async function render(root, context) {
  const list = h("div", { class: "stack" }, card({}, skeleton(5)), card({}, skeleton(5)));
  const search = field({ label: "Find", name: "find", type: "search", placeholder: "Model, provider, deployment, tag", oninput: () => show() });
  let range = RANGES[0];
  let fleet = null;
  const speedOf = remembered((wanted) => readNumbers(context.api, { ...spanOf(wanted), groupBy: "deployment" }));
  const updates = live(context, async () => {
    const wanted = range;
    const [loaded, speed] = await Promise.all([load(context.api), speedOf(wanted)]);
    if (wanted !== range) return;
    fleet = { ...loaded, speed: new Map(speed.groups.map((one) => [one.deployment, one])) };
    show();
  });
  const choice = segments({ label: "Time of latencies", items: RANGES.map(({ id, label }) => ({ id, label })), selected: range.id, onchange: choose });
  async function choose(id) {
    range = RANGES.find((one) => one.id === id);
    await updates.reload();
    context.announce(`Latencies are of the last ${range.label}`);
  }
  function show() {
    if (fleet) update(list, models(fleet, search.value.trim().toLowerCase(), change));
  }
  const change = context.who.role === "admin" ? changed : null;
  async function changed(one) {
    const moved = await changeBreaker(context.api, one);
    if (!moved) return;
    context.announce(`${one.id} is ${words(moved).text}`);
    await updates.reload();
  }
  const head = pageHead("Models and breakers", "Who answers, how well, and who is left alone for now", updates.controls);
  root.append(head, h("div", { class: "choices choices-end" }, h("div", { class: "filter" }, search.node), choice), list);
  await updates.ready;
  point(list, context.rest[0]);
}

/** { models, breakers by deployment, health and metrics by deployment, load by model, enabled }. */
async function load(api) {
  const [page, stats, breakers] = await Promise.all([api.get("/api/admin/models"), api.get("/v1/admin/models/stats"), api.get("/api/admin/breakers")]);
  const by = (rows, key) => new Map(rows.map((row) => [row[key], row]));
  return {
    models: page.data,
    load: stats.load_balancer,
    health: by(stats.health, "instance_id"),
    metrics: by(stats.metrics, "instance_id"),
    breakers: by(breakers.data, "deployment"),
    enabled: breakers.enabled,
  };
}

function models(fleet, wanted, change) {
  const matches = (model, one) => [model.name, ...model.aliases, one?.id, one?.provider, ...(one?.tags ?? [])].some((text) => text?.toLowerCase().includes(wanted));
  const served = fleet.models.filter((model) => model.problem === null);
  const cards = served
    .map((model) => [model, model.deployments.filter((one) => matches(model, one))])
    .filter(([, deployments]) => deployments.length > 0)
    .map(([model, deployments]) => modelCard(fleet, model, deployments, change));
  const idle = fleet.models.filter((model) => model.problem !== null && matches(model));
  if (cards.length === 0 && idle.length === 0) return empty("Nothing matches", "No model, provider, deployment or tag has this in its name.");
  return [cards, idle.length > 0 && idleCard(idle)];
}

function modelCard(fleet, model, deployments, change) {
  const load = fleet.load[model.name];
  const facts = [
    plural(model.deployments.length, "deployment"),
    load && `${load.strategy} routing`,
    load && `${plural(load.requests_minute, "request")} this minute`,
    model.aliases.length > 0 && `also ${model.aliases.join(", ")}`,
  ];
  const score = load && badge(`health ${Math.round(load.health_score)} of 100`, load.health_score >= 95 ? "good" : load.health_score >= 50 ? "warn" : "bad");
  const rows = deployments.map((one) => ({ ...one, breaker: fleet.breakers.get(one.id), health: fleet.health.get(one.id), metrics: fleet.metrics.get(one.id), speed: fleet.speed.get(one.id) }));
  const shown = table({ caption: `Deployments of ${model.name}`, columns: columns(change), rows, key: (one) => one.id });
  return card({ title: model.name, subtitle: facts.filter(Boolean).join(" · "), actions: score, class: "deployments", key: `model ${model.name}` }, shown);
}

function columns(change) {
  const found = [
    { label: "Deployment", header: true, cell: named },
    { label: "Breaker", class: "state", cell: state },
    { label: "p50", align: "end", class: "ms", cell: (one) => milliseconds(one.speed?.p50_latency_ms) },
    { label: "p95", align: "end", class: "ms", cell: (one) => milliseconds(one.speed?.p95_latency_ms) },
    { label: "p99", align: "end", class: "ms", cell: (one) => milliseconds(one.speed?.p99_latency_ms) },
    { label: "First token", align: "end", class: "first", cell: firstToken },
    { label: "Errors", align: "end", class: "ms", cell: errors },
    { label: "Requests", align: "end", class: "number", cell: (one) => short(compact(one.speed?.requests ?? 0), number(one.speed?.requests ?? 0)) },
  ];
  if (change) found.push({ label: "Change", hideLabel: true, align: "end", class: "act", cell: (one) => button("Breaker…", { class: "button button-small", "aria-label": `Change the breaker of ${one.id}`, onclick: () => change(one) }) });
  return found;
}

function firstToken({ speed }) {
  return twoLines(h("span", null, milliseconds(speed?.p50_ttft_ms)), speed?.p95_ttft_ms ? `p95 ${milliseconds(speed.p95_ttft_ms)}` : "");
}

function twoLines(first, second) {
  return h("div", { class: "deployment deployment-end" }, first, h("span", { class: "small muted" }, second));
}

function named(one) {
  const limits = [one.rpm && `${number(one.rpm)} requests/min`, one.tpm && `${compact(one.tpm)} tokens/min`, one.max_parallel && `${number(one.max_parallel)} at once`];
  const facts = [
    `priority ${one.priority}`,
    `weight ${one.weight}`,
    ...limits,
    one.region,
    one.credential ? `key ${one.credential}` : "no key",
    ...one.tags.map((tag) => `#${tag}`),
  ];
  return h("div", { class: "deployment" }, h("span", { class: "break" }, `${one.provider} · ${one.model}`), h("span", { class: "small muted break" }, breakable(one.id)), h("span", { class: "small muted" }, facts.filter(Boolean).join(" · ")));
}

/** An id that a line may end in, after what parts it. */
function breakable(id) {
  return id.split(/(?<=[@/])/).map((part) => [h("wbr"), part]);
}

function state(one) {
  const { breaker, health } = one;
  if (!breaker) return badge("unknown", "quiet");
  const said = words(breaker);
  const until = breaker.until && ` until ${clock(breaker.until, { seconds: true })}`;
  const last = breaker.last_error;
  return h(
    "div",
    { class: "deployment" },
    h("span", null, badge(said.text, said.tone)),
    breaker.forced && h("span", { class: "small" }, "by an administrator", breaker.until ? until : ", until released"),
    breaker.forced && breaker.reason && h("span", { class: "small break" }, `“${breaker.reason}”`),
    !breaker.forced && breaker.until && h("span", { class: "small" }, "tried again at ", clock(breaker.until, { seconds: true })),
    !breaker.until && breaker.admits === "probe" && h("span", { class: "small" }, "the next request tries it"),
    last && h("span", { class: "small muted", title: dateTime(last.at) }, `${last.type.replaceAll("_", " ")}, ${ago(last.at)}`),
    !last && health?.last_success && h("span", { class: "small muted" }, `answered ${ago(health.last_success)}`),
  );
}

function words(breaker) {
  const forced = breaker.forced ? "forced " : "";
  if (breaker.state === "open") return { text: `${forced}open`, tone: "bad" };
  if (breaker.state === "half_open") return { text: "half-open", tone: "half" };
  return { text: `${forced}closed`, tone: breaker.forced ? "info" : "good" };
}

function errors(one) {
  const rate = one.metrics?.error_rate; // of attempts, those that another deployment made good included
  return twoLines(h("span", { class: rate > 0.1 ? "tone-bad" : rate > 0.02 ? "tone-warn" : null }, percent(rate)), "15 min");
}

function idleCard(models) {
  const shown = table({
    caption: "Configured models that are not served",
    columns: [
      { label: "Model", header: true, cell: (model) => model.name },
      { label: "Why", cell: (model) => model.problem },
      { label: "Aliases", cell: (model) => model.aliases.join(", ") || "–" },
    ],
    rows: models,
    key: (model) => model.name,
  });
  return card({ title: "Configured and not served", subtitle: "Requests for these are refused until what is missing is there", key: "idle models" }, shown);
}

/** Shows the deployment that the address names. */
function point(list, id) {
  const row = id && [...list.querySelectorAll("tr[data-key]")].find((one) => one.dataset.key === id);
  if (!row) return;
  row.classList.add("pointed");
  row.scrollIntoView({ block: "center" });
}
