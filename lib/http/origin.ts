/** Which web pages may open a socket. */

/** Checks one value of `--allow-origin`; returns what is wrong with it. */
export function originFault(pattern: string): string | undefined {
  if (pattern === "*") return undefined;
  if (/^\*\.[a-z0-9.-]+$/i.test(pattern)) return undefined;
  // A host name may hold an asterisk, as far as URLs are concerned.
  if (!pattern.includes("*") && URL.canParse(pattern) && new URL(pattern).origin === pattern) {
    return undefined;
  }
  return "is neither an origin like https://app.example.org nor a pattern like *.example.org";
}

/**
 * Whether a page of `origin` may connect. `patterns`: exact origins, or `*.example.org` for all origins on
 * hosts below example.org; none at all allows any. A client without an Origin header is no browser, and free to
 * send whatever it likes: it is always allowed.
 */
export function isAllowedOrigin(origin: string | null, patterns: readonly string[]): boolean {
  if (origin === null || patterns.length === 0) return true;
  return patterns.some((pattern) => {
    if (pattern === "*" || pattern === origin) return true;
    if (!pattern.startsWith("*.") || !URL.canParse(origin)) return false;
    return new URL(origin).hostname.endsWith(pattern.slice(1).toLowerCase());
  });
}
