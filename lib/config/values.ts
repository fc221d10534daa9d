/** How the text of an option becomes a value, and what is said of a text that is none. */

import { iceUrlFault } from "../ice/turn.ts";
import { hint } from "./flags.ts";

/** Says what a value should have been, as the end of a sentence that begins with the value. */
export class Fault extends Error {}

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new Fault(`is not a whole number from ${min} to ${max}`);
    }
    return value;
  };
}

export function positiveNumber(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+(\.\d+)?$/.test(text) || value <= 0 || value > max) {
      throw new Fault(`is not a number above 0, and ${max} at most`);
    }
    return value;
  };
}

export function oneOf<const T extends string>(words: readonly T[]): (text: string) => T {
  return (text) => {
    const word = words.find((word) => word === text);
    if (word === undefined) {
      throw new Fault(`is none of ${words.join(", ")}${hint(text, words)}`);
    }
    return word;
  };
}

export function portOrOff(text: string): number | "off" {
  if (text === "off") return text;
  if (!/^\d+$/.test(text) || Number(text) > 65535) {
    throw new Fault("is neither a port from 0 to 65535 nor off");
  }
  return Number(text);
}

/** With a slash at both ends. */
export function basePath(text: string): string {
  if (!/^\/?(?:[\w.~-]+\/)*[\w.~-]*$/.test(text)) {
    throw new Fault("is not a path such as /signal, of letters, digits, dots and dashes");
  }
  return `/${text}/`.replaceAll(/\/{2,}/g, "/");
}

/** In lower case. */
export function headerName(text: string): string {
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(text)) throw new Fault("is not the name of a header");
  return text.toLowerCase();
}

export function urlOf(...schemes: Parameters<typeof iceUrlFault>[1]): (text: string) => string[] {
  return (text) => {
    const fault = iceUrlFault(text, schemes);
    if (fault) throw new Fault(`can't be used: ${fault}`);
    return [text];
  };
}

/** Whether a place is one on the web, and not a file. */
export function isUrl(place: string | undefined): place is string {
  return place !== undefined && /^https?:/i.test(place);
}

export function httpUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Fault("is no http: or https: URL");
  return url.href;
}

export function text(what: string): (text: string) => string {
  return (text) => {
    if (text.trim() === "") throw new Fault(`is empty, but should be ${what}`);
    return text;
  };
}

/** `what`: words that match the pattern. */
export function word(pattern: RegExp, what: string): (text: string) => string {
  return (text) => {
    if (!pattern.test(text)) throw new Fault(`is not made of ${what}`);
    return text;
  };
}
