// The part of a key's and a team's form that limits: requests, tokens, calls in flight, a budget. And how limits are read.

import { ApiError } from "../../api.js";
import { field } from "../../components.js";
import { h } from "../../dom.js";
import { number } from "../../format.js";
import { budgetWords } from "../../meters.js";

const PERIODS = [
  { value: "day", label: "a day" },
  { value: "week", label: "a week" },
  { value: "month", label: "a month" },
  { value: "total", label: "in total" },
];

/** -> { fields, node, values() }: the fields by the API's names, what holds them, and what they say, in the API's terms. */
export function limitFields(known = {}) {
  const budget = known.budget ?? null;
  const rpm = amount("Requests a minute", "rpm", known.rpm);
  const tpm = amount("Tokens a minute", "tpm", known.tpm, "Prompt and answer together.");
  const parallel = amount("Calls in flight", "max_parallel", known.max_parallel);
  const sliding = field({ label: "Weigh the minute before in", name: "sliding", type: "checkbox", value: known.sliding ?? false });
  const money = field({ label: "Budget, USD", name: "budget.amount_usd", type: "number", min: 0, step: "any", inputmode: "decimal", value: budget?.amount_usd, hint: "Empty: no budget of its own." });
  const period = field({ label: "Period", name: "budget.period", type: "select", options: PERIODS, value: budget?.period ?? "month" });
  const zone = field({ label: "Time zone", name: "budget.timezone", value: budget?.timezone ?? "UTC", hint: "In which the period begins, such as Europe/Berlin.", list: "time-zones" });
  const zones = h("datalist", { id: "time-zones" }, Intl.supportedValuesOf("timeZone").map((name) => h("option", { value: name })));
  const fields = [rpm, tpm, parallel, sliding, money, period, zone];
  const node = h(
    "fieldset",
    { class: "fieldset" },
    h("legend", null, "Limits"),
    h("p", { class: "field-hint" }, "What is left empty is left to the configuration."),
    h("div", { class: "fields-3" }, rpm.node, tpm.node, parallel.node),
    sliding.node,
    h("div", { class: "fields-3" }, money.node, period.node, zone.node),
    zones,
  );
  function values() {
    const wrong = [rpm, tpm, parallel, money].find((one) => one.input.validity.badInput);
    if (wrong) throw new ApiError(400, "This is not a number.", wrong.name);
    const spent = money.value === null ? null : { amount_usd: money.value, period: period.value, timezone: zone.value.trim() || "UTC" };
    return { rpm: rpm.value, tpm: tpm.value, max_parallel: parallel.value, sliding: sliding.value, budget: spent };
  }
  return { fields, node, values };
}

function amount(label, name, value, hint) {
  return field({ label, name, type: "number", min: 1, step: 1, inputmode: "numeric", value, hint, placeholder: "no limit" });
}

/** Models or tags in one field, one from the other by commas or lines. */
export function parted(text) {
  return text.split(/[,\n]/).map((one) => one.trim()).filter(Boolean);
}

/** What a record says of its own limits, in words: ["60 requests/min", "$25.00 a month"]. */
export function limitWords(record) {
  const found = [];
  if (record.rpm !== null) found.push(`${number(record.rpm)} requests/min`);
  if (record.tpm !== null) found.push(`${number(record.tpm)} tokens/min`);
  if (record.max_parallel !== null) found.push(`${number(record.max_parallel)} at once`);
  if (record.budget) found.push(budgetWords(record.budget));
  return found;
}

/** What limits a record, in words: what holds of it, the configuration's limits with its own, where its scope of /api/admin/budgets is known. */
export function limitsOf(record, scope) {
  if (!scope) return limitWords(record);
  const budget = scope.budget && { ...scope.budget, amount_usd: scope.budget.limit_usd };
  return limitWords({ rpm: scope.requests?.limit ?? null, tpm: scope.tokens?.limit ?? null, max_parallel: scope.parallel?.limit ?? null, budget });
}

/** What the given values change about a record: nothing that stays as it is is sent. */
export function changes(record, values) {
  const differs = ([name, value]) => JSON.stringify(value) !== JSON.stringify(record[name] ?? null);
  return Object.fromEntries(Object.entries(values).filter(differs));
}

/** Runs `work`; what it is refused for is shown at the field that the API names, and thrown on. */
export async function telling(fields, work) {
  try {
    return await work();
  } catch (error) {
    fields.find((one) => one.name === error.param)?.problem(error.message);
    throw error;
  }
}
