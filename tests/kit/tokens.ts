/** Tokens as an application would make them. */

import { SignJWT } from "jose";

export const SECRET = "s".repeat(43);

/** Signed with the secret; good for an hour, in the room `r`, unless told otherwise. */
export async function token(claims: Record<string, unknown> = {}, secret = SECRET): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return await new SignJWT({ rooms: ["r"], exp: now + 3600, ...claims })
    .setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(secret));
}

/** Seconds since 1970, so many from now. */
export function inSeconds(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}
