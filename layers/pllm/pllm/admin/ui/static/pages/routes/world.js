// What the configuration says about names, put together: what a name stands for, and the way of a request that fails.

/** In a few words, what each strategy goes by. */
export const STRATEGIES = {
  priority: "the first that is well, in order",
  "latency-based": "the fastest of late",
  "round-robin": "each in its turn",
  weighted: "by weight",
  random: "by chance",
  "cost-based": "the cheapest",
  "least-busy": "the one with the fewest calls",
  "usage-based": "the one with most room left",
};

/** For these an alias' members are an order; for the others they compete. */
const IN_ORDER = ["priority", "weighted"];

/** -> { routes, models: name -> model, kind(name), ways(name) } */
export function world(routes, models) {
  const served = new Map(models.map((model) => [model.name, model]));
  const open = new Map(routes.routes.filter((route) => route.enabled).map((route) => [route.slug, route]));

  function kind(name) {
    if (served.has(name)) return served.get(name).problem ? "missing" : "model";
    if (open.has(name)) return "route";
    return name in routes.aliases ? "alias" : "missing";
  }
  /** The names under which fallbacks may be configured: its own, then its models'. */
  function names(name) {
    const route = open.get(name);
    const members = served.has(name) ? [] : route ? route.models.map((one) => one.model_name) : (routes.aliases[name] ?? []);
    return [name, ...members];
  }
  function targets(fallbacks, name) {
    const own = fallbacks === routes.fallbacks ? (open.get(name)?.fallback_models ?? []) : [];
    return [...own, ...(fallbacks[name] ?? [])];
  }
  const step = (fallbacks, name) => [...new Set(names(name).flatMap((one) => targets(fallbacks, one)))].filter((one) => one !== name);

  /** Where a request for `name` goes when what was asked fails: each name's fallbacks come after those that wait already. */
  function failing(name) {
    const path = [];
    const queue = [name];
    const entered = new Set();
    while (queue.length > 0) {
      const next = queue.shift();
      if (entered.has(next)) continue;
      entered.add(next);
      if (next !== name) path.push(next);
      if (kind(next) !== "missing" || next === name) queue.push(...step(routes.fallbacks, next).filter((one) => !queue.includes(one)));
    }
    return path;
  }
  function ways(name) {
    return { failure: failing(name), context: step(routes.context_window_fallbacks, name), policy: step(routes.content_policy_fallbacks, name) };
  }
  return { routes, models: served, kind, ways, inOrder: IN_ORDER.includes(routes.strategy) };
}
