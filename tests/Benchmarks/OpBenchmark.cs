using System.Diagnostics;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Tensor = Microsoft.ML.Attention.Onnx.Tensor;

namespace Benchmarks;

/// <summary>
/// Each operator at the sizes of a published model, mostly BiFormer-T on pictures of 224 x 224: our kernel against its definition in
/// standard operators.
/// </summary>
internal static class OpBenchmark
{
    private sealed record Case(string Name, Func<GraphBuilder, Func<long[], Value>, Value[]> Build);

    public static int Run(string[] args)
    {
        var cuda = args.Contains("cuda");
        var batch = Array.IndexOf(args, "--batch") is var at and >= 0 ? long.Parse(args[at + 1]) : cuda ? 128 : 4;
        Machine.Print();
        Console.WriteLine($"{(cuda ? "CUDA" : "CPU")}, batch {batch}, float32; median milliseconds");
        Console.WriteLine($"{"operator",-58} {"definition",10} {"kernel",10} {"ratio",7}");
        foreach (var benchmark in Cases(batch))
        {
            var definition = Median(benchmark, cuda, withKernels: false);
            var kernel = Median(benchmark, cuda, withKernels: true);
            Console.WriteLine($"{benchmark.Name,-58} {definition,10:F3} {kernel,10:F3} {definition / kernel,6:F1}x");
        }
        return 0;
    }

    private static IEnumerable<Case> Cases(long n)
    {
        foreach (var benchmark in BoxRelativeCases().Concat(RaftMixingCases(n)).Concat(SelfCalibratedCases()))
            yield return benchmark;
        (long Size, long Width, int Heads, int TopK)[] stages = [(56, 64, 2, 1), (28, 128, 4, 4), (14, 256, 8, 16)];
        foreach (var (size, width, heads, topK) in stages)
        {
            var label = $"[{size}, {size}, {width}]";
            long[] map = [n, size, size, width], planes = [n, width, size, size];
            Attributes Routing() => new() { ["num_heads"] = heads, ["window_count"] = 7, ["top_k"] = topK, ["scale"] = 1 / MathF.Sqrt(width) };
            yield return new($"BiLevelRoutingAttention {label} top {topK}", (builder, input) =>
                builder.Ops(nameof(BiLevelRoutingAttention), [input(map), input(map), input(map)], 1, Routing(), AttentionOp.Domain));
            yield return new($"BiLevelRoutingAttention + Grad {label} top {topK}", (builder, input) =>
            {
                Value[] maps = [input(map), input(map), input(map)];
                var forward = builder.Ops(nameof(BiLevelRoutingAttention), maps!, 3, Routing(), AttentionOp.Domain);
                return builder.Ops(nameof(BiLevelRoutingAttentionGrad), [input(map), .. maps, .. forward], 3, Routing(), AttentionOp.Domain);
            });
            yield return new($"LayerNormalizationGrad {label}", (_, input) => LayerNormalizationGrad.Apply(input(map), input(map), input([width]), -1, 1e-6f));
            yield return new($"GeluGrad [{size}, {size}, {3 * width}]", (_, input) =>
                [GeluGrad.Apply(input([n, size, size, 3 * width]), input([n, size, size, 3 * width]))]);
            yield return new($"BatchNormalizationTraining {label}", (builder, input) => builder.Ops(
                nameof(BatchNormalizationTraining), [input(planes), input([width]), input([width]), input([width]), input([width])],
                3, new() { ["epsilon"] = 1e-5f, ["momentum"] = 0.1f }, AttentionOp.Domain));
            yield return new($"BatchNormalizationGrad {label}", (_, input) => BatchNormalizationGrad.Apply(input(planes), input(planes), input([width]), 1e-5f));
            foreach (var kernel in (long[])[3, 5])
            {
                var pad = kernel / 2;
                yield return new($"GroupedConvWeightGrad {kernel}x{kernel} depthwise {label}", (builder, input) =>
                    builder.Ops(nameof(GroupedConvWeightGrad), [input(planes), input(planes)], 1, new()
                    {
                        ["kernel_shape"] = (long[])[kernel, kernel],
                        ["strides"] = (long[])[1, 1],
                        ["dilations"] = (long[])[1, 1],
                        ["pads"] = (long[])[pad, pad, pad, pad],
                        ["group"] = width,
                    }, AttentionOp.Domain));
                yield return new($"Conv {kernel}x{kernel} depthwise {label} (standard)", (_, input) =>
                    [input(planes).Conv2d(input([width, 1, kernel, kernel]), null, 1, pad, width)]);
            }
        }
    }

    // The columns of RaftMLP-S's levels.
    // A shifted block of SCCAN at the published size, 8 queries.
    private static IEnumerable<Case> SelfCalibratedCases()
    {
        const int Batch = 8, Windows = 81, Positions = 64, Width = 256;
        Attributes attributes = new() { ["num_heads"] = 8 };
        const string Label = "8 x 81 windows of [64, 256]";
        yield return new($"SelfCalibratedCrossAttention {Label}", (builder, input) => builder.Ops(
            nameof(SelfCalibratedCrossAttention), Inputs(builder, input), 1, attributes.Clone(), AttentionOp.Domain));
        yield return new($"SelfCalibratedCrossAttention + Grad {Label}", (builder, input) =>
        {
            var arguments = Inputs(builder, input);
            var forward = builder.Ops(nameof(SelfCalibratedCrossAttention), arguments, 2, attributes.Clone(), AttentionOp.Domain);
            return builder.Ops(
                nameof(SelfCalibratedCrossAttentionGrad), [input([Batch, Windows, Positions, Width]), .. arguments, .. forward], 2,
                attributes.Clone(), AttentionOp.Domain);
        });

        static Value[] Inputs(GraphBuilder builder, Func<long[], Value> input) =>
        [
            input([Batch, Windows, Positions, 3 * Width]), input([Batch, Windows, Positions, 2 * Width]),
            builder.Constant(Tensor.Create<long>([.. Enumerable.Range(0, Batch * Windows).Select(i => 7L * i % Windows)], Batch, Windows)),
        ];
    }

    private static IEnumerable<Case> RaftMixingCases(long n)
    {
        const int RaftSize = 2;
        foreach (var (size, width) in ((long, long)[])[(56, 64), (28, 128), (14, 256), (7, 512)])
        {
            var (mixed, hidden) = (RaftSize * size, 2 * RaftSize * size);
            Attributes attributes = new() { ["raft_size"] = RaftSize, ["epsilon"] = 1e-5f };
            long[][] parameters = [[width], [width], [hidden, mixed], [hidden], [mixed, hidden]];
            yield return new($"RaftMixing [{size}, {size}, {width}]", (builder, input) => builder.Ops(
                nameof(RaftMixing), [input([n, size, size, width]), .. parameters.Select(input), input([mixed]), input([])],
                1, attributes.Clone(), AttentionOp.Domain));
            yield return new($"RaftMixingGrad [{size}, {size}, {width}]", (builder, input) => builder.Ops(
                nameof(RaftMixingGrad),
                [input([n, size, size, width]), input([n, size, size, width]), .. parameters.Select(input), input([])],
                7, attributes.Clone(), AttentionOp.Domain));
        }
    }

    // Plain DETR on one picture of 800 x 1333; in training it has 1500 more queries.
    private static IEnumerable<Case> BoxRelativeCases()
    {
        const long Height = 50, Width = 84, Channels = 256;
        const int Heads = 8;
        Attributes attributes = new() { ["num_heads"] = Heads };
        yield return new("BoxRelativeAttention 300 to [50, 84, 256]", (builder, input) =>
            builder.Ops(nameof(BoxRelativeAttention), Inputs(builder, input, 300), 1, attributes.Clone(), AttentionOp.Domain));
        yield return new("BoxRelativeAttention + Grad 1800 to [50, 84, 256]", (builder, input) =>
        {
            var arguments = Inputs(builder, input, 1800);
            var forward = builder.Ops(nameof(BoxRelativeAttention), arguments, 2, attributes.Clone(), AttentionOp.Domain);
            return builder.Ops(
                nameof(BoxRelativeAttentionGrad), [input([1, 1800, Channels]), .. arguments, .. forward], 5, attributes.Clone(),
                AttentionOp.Domain);
        });

        static Value[] Inputs(GraphBuilder builder, Func<long[], Value> input, long queries) =>
        [
            input([1, queries, Channels]), input([1, Height * Width, Channels]), input([1, Height * Width, Channels]),
            input([1, queries, Width, Heads]), input([1, queries, Height, Heads]),
            builder.Int64(Height, Width).Reshape(1, 2),
        ];
    }

    private static double Median(Case benchmark, bool cuda, bool withKernels)
    {
        var builder = new GraphBuilder();
        var names = new List<(string Name, long[] Dims)>();
        var outputs = benchmark.Build(builder, dims =>
        {
            names.Add(($"input{names.Count}", dims));
            return builder.Input(names[^1].Name, TensorElementType.Float, Shape.Of(dims));
        });
        for (var i = 0; i < outputs.Length; i++)
            builder.Output($"output{i}", outputs[i]);

        using var options = Options(cuda, withKernels);
        using var session = new InferenceSession(builder.ToModel().ToBytes(), options);
        using var inputs = RandomOnDevice(names, cuda);
        using var binding = session.CreateIoBinding();
        using var memory = Memory(cuda);
        using var runOptions = new RunOptions();
        for (var i = 0; i < names.Count; i++)
            binding.BindInput(names[i].Name, inputs[i]);
        foreach (var output in session.OutputNames)
            binding.BindOutputToDevice(output, memory);

        const int warmUps = 3, runs = 15;
        var times = new List<double>();
        for (var run = 0; run < warmUps + runs; run++)
        {
            var watch = Stopwatch.StartNew();
            session.RunWithBinding(runOptions, binding);
            binding.SynchronizeBoundOutputs();
            if (run >= warmUps)
                times.Add(watch.Elapsed.TotalMilliseconds);
        }
        times.Sort();
        return times[runs / 2];
    }

    public static IDisposableReadOnlyCollection<OrtValue> RandomOnDevice(List<(string Name, long[] Dims)> names, bool cuda)
    {
        var builder = new GraphBuilder();
        foreach (var (name, dims) in names)
            builder.Output(name, Random(builder, dims));
        return OnDevice(builder.ToModel(), cuda);
    }

    /// <summary>Uniform in [-1, 1).</summary>
    public static Value Random(GraphBuilder builder, long[] dims) =>
        builder.Op("RandomUniformLike", [builder.Op("ConstantOfShape", [builder.Int64(dims)])], new()
        {
            ["low"] = -1f, ["high"] = 1f, ["seed"] = 1f,
        });

    /// <summary>What a graph without inputs computes, where the kernels run.</summary>
    public static IDisposableReadOnlyCollection<OrtValue> OnDevice(OnnxModel model, bool cuda)
    {
        using var options = Options(cuda, withKernels: false);
        options.GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL;
        using var session = new InferenceSession(model.ToBytes(), options);
        using var binding = session.CreateIoBinding();
        using var memory = Memory(cuda);
        using var runOptions = new RunOptions();
        foreach (var name in session.OutputNames)
            binding.BindOutputToDevice(name, memory);
        session.RunWithBinding(runOptions, binding);
        binding.SynchronizeBoundOutputs();
        return binding.GetOutputValues();
    }

    private static SessionOptions Options(bool cuda, bool withKernels)
    {
        var options = new SessionOptions { IntraOpNumThreads = Environment.ProcessorCount, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        if (cuda)
            options.AppendExecutionProvider_CUDA();
        if (withKernels)
            KernelLibrary.Register(options, cuda);
        return options;
    }

    public static OrtMemoryInfo Memory(bool cuda) => cuda
        ? new OrtMemoryInfo(OrtMemoryInfo.allocatorCUDA, OrtAllocatorType.DeviceAllocator, 0, OrtMemType.Default)
        : new OrtMemoryInfo(OrtMemoryInfo.allocatorCPU, OrtAllocatorType.ArenaAllocator, 0, OrtMemType.Default);
}
