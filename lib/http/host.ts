/** The Host header, from which the runtime makes the URL of a request. */

/** DNS has no longer names (RFC 1035 section 2.3.4), and whatever stands there comes back in answers. */
const MAX_HOST = 253;

/** The URL that was asked for, or a sentence that says what is wrong with the Host header. */
export function requestedUrl({ url }: Request): URL | string {
  const parsed = URL.parse(url);
  if (parsed === null) return "The header Host is not one.";
  return parsed.hostname.length > MAX_HOST ? `The header Host has more than ${MAX_HOST} characters.` : parsed;
}
