/**
 * Which web pages may open a socket: by the origin (RFC 6454) that browsers, web views and extensions send with each
 * handshake.
 */

/** An origin of an application's own scheme: `capacitor://localhost`, `moz-extension://3f1c…`, `file://`. */
const APP_ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[\w.~:[\]-]*$/i;
/** All origins of such a scheme: that of an extension differs from one installation to the next. */
const APP_SCHEME = /^([a-z][a-z0-9+.-]*:\/\/)\*$/i;
/** Their origins are hosts. */
const WEB_SCHEME = /^(?:https?|wss?|ftp):/i;

/** Checks one value of `--allow-origin`; returns what is wrong with it. */
export function originFault(pattern: string): string | undefined {
  if (pattern === "*" || pattern === "null" || /^\*\.[a-z0-9.-]+$/i.test(pattern)) return undefined;
  if (!WEB_SCHEME.test(pattern)) {
    if (APP_ORIGIN.test(pattern) || APP_SCHEME.test(pattern)) return undefined;
    // A host name may hold an asterisk, as far as URLs are concerned.
  } else if (!pattern.includes("*") && URL.canParse(pattern) && new URL(pattern).origin === pattern) {
    return undefined;
  }
  return "is neither an origin like https://app.example.org or capacitor://localhost, nor a pattern like " +
    "*.example.org or moz-extension://*, nor null";
}

/** Whether this is an origin, and no pattern of several: so that it can be allowed by its own name. */
export function isOrigin(text: string): boolean {
  return !text.includes("*") && originFault(text) === undefined;
}

/**
 * Whether a page of `origin` may connect. `patterns`: exact origins; `*.example.org` for all http and https origins on
 * hosts below example.org; `SCHEME://*` for all of an application's scheme; `null` for pages that have no origin;
 * `*`, or none at all, for any. A client without an Origin header is no browser, and free to send whatever it likes:
 * it is always allowed.
 */
export function isAllowedOrigin(origin: string | null, patterns: readonly string[]): boolean {
  if (origin === null || patterns.length === 0) return true;
  return patterns.some((pattern) => {
    if (pattern === "*" || pattern === origin) return true;
    if (pattern.startsWith("*.")) {
      return /^https?:/.test(origin) && URL.parse(origin)?.hostname.endsWith(pattern.slice(1).toLowerCase());
    }
    const scheme = APP_SCHEME.exec(pattern)?.[1]?.toLowerCase();
    return scheme !== undefined && origin.toLowerCase().startsWith(scheme);
  });
}

/** The headers with which a page of `origin` may read an answer, where it may connect (CORS). */
export function sharedWith(origin: string | null, patterns: readonly string[]): Record<string, string> {
  if (!isAllowedOrigin(origin, patterns)) return {};
  return {
    "access-control-allow-origin": patterns.length === 0 ? "*" : origin ?? "null",
    "access-control-allow-methods": "GET, HEAD",
    "cross-origin-resource-policy": "cross-origin",
    vary: "origin",
  };
}
