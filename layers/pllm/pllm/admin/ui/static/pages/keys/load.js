// What the tabs of this page read, and how one of them is shown.

import { complain, failure, skeleton } from "../../components.js";
import { replace } from "../../dom.js";

/** What is left of limits, by the id of what they limit. */
export async function quotas(api, kind) {
  const found = await api.all(`/api/admin/budgets?kind=${kind}&limit=500`);
  return new Map(found.map((scope) => [scope.id, scope]));
}

/**
 * Shows a tab: what draw() puts there, or what went wrong and another try. Until then grey lines, or what was there before;
 * whoever was in it stays in it.
 */
export async function loaded(panel, draw) {
  const inside = panel.contains(document.activeElement);
  if (panel.children.length === 0) replace(panel, skeleton(1), skeleton(3, { tall: true }));
  panel.setAttribute("aria-busy", "true");
  try {
    await draw();
  } catch (error) {
    if (error.name === "AbortError") return; // the page is left
    replace(panel, failure(error, () => loaded(panel, draw)));
  } finally {
    panel.setAttribute("aria-busy", "false");
  }
  if (inside && !panel.contains(document.activeElement)) panel.focus({ preventScroll: true });
}

/** Does something on demand; what goes wrong is told, and what is shown stays. */
export function trying(work) {
  return async () => {
    try {
      await work();
    } catch (error) {
      complain(error);
    }
  };
}
