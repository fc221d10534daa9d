import { MemoryStore } from "../../lib/rooms/memory.ts";
import { testStore } from "./store_conformance.ts";

testStore("memory", {
  make: (...parts) => Promise.resolve(new MemoryStore(...parts)),
  idle: () => Promise.resolve(),
});
