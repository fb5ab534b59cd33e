// Counts what shaders read and write of storage while they run: their text is changed so that every access counts itself. What is
// counted is what the code does, caches aside. Knows the shaders' bindings and no kernel; an observed GPU is slow, and not for timing.

/** Bytes that the shaders of one name have moved, and the least that they could have: each tensor bound once. */
export interface Traffic {
  readonly kernel: string;
  readonly dispatches: number;
  readonly read: number;
  readonly written: number;
  readonly leastRead: number;
  readonly leastWritten: number;
}

/** A storage binding of a shader. */
interface Binding {
  readonly name: string;
  readonly written: boolean;
  /** Of an element. */
  readonly bytes: number;
}

/** A shader, and what its dispatches bound. */
interface Shader {
  readonly label: string;
  readonly bindings: readonly Binding[];
  /** The counters of its bindings: two each, reads and writes. */
  readonly first: number;
  dispatches: number;
  leastRead: number;
  leastWritten: number;
}

/** Counters in all: what a program with some hundred shaders needs. */
const counters = 8192;
const usage = { storage: 0x80, copySource: 4, copyTarget: 8, mapRead: 1 } as const;

const scalars = /^(?:f32|i32|u32)$/;

/** Bytes of an element type. */
function bytesOf(type: string): number {
  if (scalars.test(type)) return 4;
  const width = /^vec([24])(?:[fiu]|<[fiu]32>)$/.exec(type)?.[1];
  if (width === undefined) throw new Error(`traffic: storage of ${type} is not counted`);
  return 4 * Number(width);
}

/** The storage bindings of a shader in order. */
function bindingsOf(code: string): Binding[] {
  const found: Binding[] = [];
  const declaration =
    /@group\(0\)\s*@binding\((\d+)\)\s*var<storage,\s*(read_write|read)>\s*(\w+)\s*:\s*array<([^;]+)>\s*;/g;
  for (const [, at, access, name, type] of code.matchAll(declaration))
    found[Number(at)] = { name: name!, written: access === "read_write", bytes: bytesOf(type!.trim()) };
  return found;
}

/** The place of the bracket that closes the one at `open`. */
function closing(code: string, open: number): number {
  let depth = 0;
  for (let i = open; i < code.length; i++) {
    if (code[i] === "[") depth++;
    else if (code[i] === "]" && --depth === 0) return i;
  }
  throw new Error("traffic: a bracket is not closed");
}

/** Has every access to the bindings count itself: reads in counter `first` + 2 × binding, writes in the one behind. */
export function counted(code: string, first: number): string {
  const plain = code.replace(/\/\/[^\n]*/g, "");
  const bindings = bindingsOf(plain);
  const places = new Map(bindings.map(({ name }, i) => [name, first + 2 * i]));
  const access = new RegExp(`(?<![\\w.])(${[...places.keys()].join("|")})\\s*\\[`, "g");
  const rewrite = (text: string): string => {
    let result = "";
    let from = 0;
    for (;;) {
      access.lastIndex = from;
      const match = access.exec(text);
      if (match === null) return result + text.slice(from);
      const open = access.lastIndex - 1;
      const close = closing(text, open);
      const [, component, assigned] = /^(\s*\.\w+)?\s*([-+*/%&|^]?=(?!=))?/.exec(text.slice(close + 1))!;
      const place = places.get(match[1]!)!;
      let index = `u32(${rewrite(text.slice(open + 1, close))})`;
      if (assigned !== undefined) index = `s_tally(${place + 1}u, ${index})`;
      if (assigned === undefined || assigned.length > 1) index = `s_tally(${place}u, ${index})`;
      result += `${text.slice(from, open + 1)}${index}]${component ?? ""}`;
      from = close + 1 + (component ?? "").length;
      // Within the brackets everything has been counted.
    }
  };
  return `${rewrite(plain)}
@group(2) @binding(0) var<storage, read_write> s_traffic: array<atomic<u32>>;
fn s_tally(counter: u32, i: u32) -> u32 { atomicAdd(&s_traffic[counter], 1u); return i; }
`;
}

/** Watches the devices of a GPU object: to be called before a library asks it for an adapter. */
export class Observer {
  private readonly shaders: Shader[] = [];
  private readonly sizes = new WeakMap<GPUBuffer, number>();
  private device: GPUDevice | undefined;
  private buffer: GPUBuffer | undefined;

  constructor(gpu: GPU) {
    const requestAdapter = gpu.requestAdapter.bind(gpu);
    gpu.requestAdapter = async (options) => {
      const adapter = await requestAdapter(options);
      if (adapter === null) return null;
      const requestDevice = adapter.requestDevice.bind(adapter);
      adapter.requestDevice = async (description) => this.watch(await requestDevice(description));
      return adapter;
    };
  }

  /** Says how many bytes a tensor has that lies in a buffer: buffers are longer than what they hold. */
  holds(buffer: GPUBuffer, bytes: number): void {
    this.sizes.set(buffer, bytes);
  }

  /** What the shaders have done since the last call, by their names; everything must have been submitted. */
  async take(): Promise<Traffic[]> {
    const device = this.device!;
    const size = 4 * counters;
    const reading = device.createBuffer({ size, usage: usage.mapRead | usage.copyTarget });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.buffer!, 0, reading, 0, size);
    encoder.clearBuffer(this.buffer!);
    device.queue.submit([encoder.finish()]);
    await reading.mapAsync(1);
    const counts = new Uint32Array(reading.getMappedRange().slice(0));
    reading.destroy();
    const found = this.shaders.filter(({ dispatches }) => dispatches > 0);
    return found.map((shader) => {
      const { label: kernel, bindings, first, dispatches, leastRead, leastWritten } = shader;
      const bytes = (which: number): number =>
        bindings.reduce((sum, b, i) => sum + b.bytes * counts[first + 2 * i + which]!, 0);
      const traffic = { kernel, dispatches, read: bytes(0), written: bytes(1), leastRead, leastWritten };
      Object.assign(shader, { dispatches: 0, leastRead: 0, leastWritten: 0 });
      return traffic;
    });
  }

  private watch(device: GPUDevice): GPUDevice {
    const buffer = device.createBuffer({
      size: 4 * counters,
      usage: usage.storage | usage.copySource | usage.copyTarget,
    });
    this.device = device;
    this.buffer = buffer;
    const layout = device.createBindGroupLayout({
      entries: [{ binding: 0, visibility: 4, buffer: { type: "storage" } }],
    });
    const tally = device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] });
    const modules = new WeakMap<GPUShaderModule, Shader>();
    const pipelines = new WeakMap<GPUComputePipeline, Shader>();
    const groups = new WeakMap<GPUBindGroup, readonly GPUBuffer[]>();
    const plain = {
      module: device.createShaderModule.bind(device),
      layout: device.createPipelineLayout.bind(device),
      pipeline: device.createComputePipeline.bind(device),
      pipelineAsync: device.createComputePipelineAsync.bind(device),
      group: device.createBindGroup.bind(device),
      encoder: device.createCommandEncoder.bind(device),
    };
    let first = 0;

    device.createShaderModule = ({ label = "", code, ...rest }) => {
      const module = plain.module({ label, code: counted(code, first), ...rest });
      const bindings = bindingsOf(code);
      const shader = { label, bindings, first, dispatches: 0, leastRead: 0, leastWritten: 0 };
      this.shaders.push(shader);
      modules.set(module, shader);
      first += 2 * bindings.length;
      if (first > counters) throw new Error("traffic: there are more shaders than counters");
      return module;
    };
    device.createPipelineLayout = ({ bindGroupLayouts, ...rest }) =>
      plain.layout({ bindGroupLayouts: [...bindGroupLayouts, layout], ...rest });
    device.createComputePipeline = (description) => {
      const pipeline = plain.pipeline(description);
      pipelines.set(pipeline, modules.get(description.compute.module)!);
      return pipeline;
    };
    device.createComputePipelineAsync = async (description) => {
      const pipeline = await plain.pipelineAsync(description);
      pipelines.set(pipeline, modules.get(description.compute.module)!);
      return pipeline;
    };
    device.createBindGroup = (description) => {
      const group = plain.group(description);
      const buffers = Array.from(
        description.entries,
        ({ resource }) => (resource as GPUBufferBinding).buffer,
      );
      groups.set(group, buffers);
      return group;
    };
    device.createCommandEncoder = (description) => {
      const encoder = plain.encoder(description);
      const begin = encoder.beginComputePass.bind(encoder);
      encoder.beginComputePass = (description) => {
        const pass = begin(description);
        const setPipeline = pass.setPipeline.bind(pass);
        const setBindGroup = pass.setBindGroup.bind(pass) as (...args: unknown[]) => undefined;
        const dispatch = pass.dispatchWorkgroups.bind(pass);
        let shader: Shader;
        let bound: readonly GPUBuffer[] = [];
        setBindGroup(2, tally);
        pass.setPipeline = (pipeline) => {
          shader = pipelines.get(pipeline)!;
          setPipeline(pipeline);
        };
        pass.setBindGroup = (...args: unknown[]) => {
          if (args[0] === 0) bound = groups.get(args[1] as GPUBindGroup)!;
          setBindGroup(...args);
        };
        pass.dispatchWorkgroups = (...size) => {
          shader.dispatches++;
          const seen = new Set<GPUBuffer>();
          shader.bindings.forEach(({ written }, i) => {
            // A binding that a call does not need is given any buffer.
            const bytes = seen.has(bound[i]!) ? 0 : (this.sizes.get(bound[i]!) ?? 0);
            seen.add(bound[i]!);
            shader[written ? "leastWritten" : "leastRead"] += bytes;
          });
          dispatch(...size);
        };
        return pass;
      };
      return encoder;
    };
    return device;
  }
}
