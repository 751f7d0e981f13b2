// The gateway's API, from the page's own origin, with the visitor's key. The key lives in this module's objects and nowhere else.

/** Where the API begins: "" locally, "/prod" under a stage of API Gateway. */
export function apiRoot(pathname = location.pathname) {
  return pathname.replace(/\/ui\/?$/, "");
}

/** What the API refused, in its own words. `status` is 0 where it could not be reached. */
export class ApiError extends Error {
  constructor(status, message, param = null, code = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.param = param;
    this.code = code;
  }
}

/**
 * get/all/post/patch/delete(path, body) answer with the JSON of the answer, or null where there is none; they throw ApiError.
 * What is on its way when the page is left is given up: it throws an AbortError, which the shell knows.
 */
export class Api {
  #root;
  #key;
  #refused;
  #signal;

  /** `refused(message)` is called on a 401, before the error is thrown. */
  constructor(key, refused = () => {}, signal = undefined, root = apiRoot()) {
    this.#key = key;
    this.#refused = refused;
    this.#signal = signal;
    this.#root = root;
  }

  /** The same until a signal. */
  until(signal) {
    return new Api(this.#key, this.#refused, signal, this.#root);
  }

  get(path) {
    return this.#json("GET", path);
  }

  /** Everything of a list that comes in pages, each with the `after` of the next one. */
  async all(path) {
    const found = [];
    const separator = path.includes("?") ? "&" : "?";
    let next = "";
    do {
      const page = await this.get(next ? `${path}${separator}after=${encodeURIComponent(next)}` : path);
      found.push(...page.data);
      next = page.next;
    } while (next);
    return found;
  }

  post(path, body) {
    return this.#json("POST", path, body);
  }

  patch(path, body) {
    return this.#json("PATCH", path, body);
  }

  delete(path, body) {
    return this.#json("DELETE", path, body);
  }

  /** The whole address of a path, for people to copy. */
  address(path) {
    return location.origin + this.#root + path;
  }

  /** The Response of a success: for streams, files and headers. Throws ApiError. */
  async request(method, path, body = undefined, { signal = this.#signal, accept = "application/json", headers: more = {} } = {}) {
    const headers = { ...more, authorization: `Bearer ${this.#key}`, accept };
    if (body !== undefined) headers["content-type"] = "application/json";
    const options = { method, headers, signal, cache: "no-store", credentials: "omit", redirect: "error" };
    let response;
    try {
      response = await fetch(this.#root + path, { ...options, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "The gateway cannot be reached. Is the connection up?");
    }
    if (response.ok) return response;
    const error = await refusal(response);
    if (error.status === 401) this.#refused(error.message);
    throw error;
  }

  async #json(method, path, body) {
    const response = await this.request(method, path, body);
    const text = await response.text();
    return text ? JSON.parse(text) : null;
  }
}

async function refusal(response) {
  const said = await response.json().catch(() => null);
  const error = said?.error ?? {};
  const message = error.message ?? said?.message ?? `The gateway answered ${response.status} ${response.statusText}`.trim();
  return new ApiError(response.status, message, error.param ?? null, error.code ?? null);
}
