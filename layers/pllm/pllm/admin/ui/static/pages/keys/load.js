// What the tabs of this page read, a page of the API after the other, and how one of them is shown.

import { failure, skeleton } from "../../components.js";
import { replace } from "../../dom.js";

/** Everything of a list of the API. `cursor`: the parameter that takes the answer's `next`. */
export async function all(api, path, cursor = "after") {
  const found = [];
  let next = "";
  do {
    const separator = path.includes("?") ? "&" : "?";
    const page = await api.get(next ? `${path}${separator}${cursor}=${encodeURIComponent(next)}` : path);
    found.push(...page.data);
    next = page.next;
  } while (next);
  return found;
}

/** What is left of limits, by the id of what they limit. */
export async function quotas(api, kind) {
  const found = await all(api, `/api/admin/budgets?kind=${kind}&limit=500`);
  return new Map(found.map((scope) => [scope.id, scope]));
}

/** Shows a tab: grey lines, then what draw() puts there, or what went wrong and another try. */
export async function loaded(panel, draw) {
  replace(panel, skeleton(1), skeleton(3, { tall: true }));
  try {
    await draw();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    replace(panel, failure(error, () => loaded(panel, draw)));
  }
}
