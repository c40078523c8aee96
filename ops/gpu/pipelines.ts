/** Pipelines, compiled once for a kernel and its constants; kernels with the same buffers share a layout. */
import type { OpenDevice } from "./device.ts";
import { argumentWords, type Fields, fieldsOf, type Kernel, wgsl } from "./kernel.ts";
import { lanesCode } from "./kernels/lanes.ts";

/** A pipeline ready to run. */
export interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Identifies the layout in keys of bind groups. */
  readonly id: number;
  /** The kernel's arguments, and their size in words. */
  readonly fields: Fields;
  readonly words: number;
}

/** A device's pipelines. */
export interface Pipelines {
  of(kernel: Kernel, constants: Readonly<Record<string, number>>): Compiled;
}

interface Layout {
  readonly layout: GPUBindGroupLayout;
  readonly pipeline: GPUPipelineLayout;
  readonly id: number;
}

/** A cache over a device. */
export function pipelines({ device, directives, subgroups }: OpenDevice): Pipelines {
  const dialect = { directives, lanes: lanesCode(subgroups) };
  const layouts = new Map<string, Layout>();
  const modules = new Map<string, GPUShaderModule>();
  const ready = new Map<string, Compiled>();

  const layoutOf = (kernel: Kernel, words: number): Layout => {
    const [reads, writes] = [Object.keys(kernel.reads).length, Object.keys(kernel.writes).length];
    const key = `${words},${reads},${writes}`;
    let found = layouts.get(key);
    if (found === undefined) {
      const storage = (type: GPUBufferBindingType, first: number) => (_: unknown, i: number) => ({
        binding: first + i,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type },
      });
      const layout = device.createBindGroupLayout({
        entries: [
          {
            binding: 0,
            visibility: GPUShaderStage.COMPUTE,
            buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: 4 * words },
          },
          ...Array.from({ length: reads }, storage("read-only-storage", 1)),
          ...Array.from({ length: writes }, storage("storage", 1 + reads)),
        ],
      });
      const pipeline = device.createPipelineLayout({ bindGroupLayouts: [layout] });
      layouts.set(key, found = { layout, pipeline, id: layouts.size });
    }
    return found;
  };
  const moduleOf = (kernel: Kernel): GPUShaderModule => {
    let found = modules.get(kernel.name);
    if (found === undefined) {
      found = device.createShaderModule({ label: kernel.name, code: wgsl(kernel, dialect) });
      modules.set(kernel.name, found);
    }
    return found;
  };
  return {
    of(kernel, constants): Compiled {
      let key = kernel.name;
      for (const name in constants) key += `;${name}=${constants[name]}`;
      let found = ready.get(key);
      if (found === undefined) {
        const fields = fieldsOf(kernel);
        const words = argumentWords(fields);
        const { layout, pipeline, id } = layoutOf(kernel, words);
        found = {
          layout,
          id,
          fields,
          words,
          pipeline: device.createComputePipeline({
            label: key,
            layout: pipeline,
            compute: { module: moduleOf(kernel), entryPoint: "main", constants },
          }),
        };
        ready.set(key, found);
      }
      return found;
    },
  };
}
