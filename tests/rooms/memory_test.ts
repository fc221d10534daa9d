import { MemoryStore } from "../../lib/rooms/memory.ts";
import { testStore } from "./store_conformance.ts";

testStore("memory", (...parts) => new MemoryStore(...parts), () => Promise.resolve());
