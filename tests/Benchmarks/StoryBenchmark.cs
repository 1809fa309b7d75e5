using System.Diagnostics;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Tensor = Microsoft.ML.Attention.Onnx.Tensor;

namespace Benchmarks;

/// <summary>
/// Consistent self-attention in one step of a story, at the sizes of Stable Diffusion XL: by our kernel, by its definition, and by the
/// standard operators that one would write by hand; also the memory that a batch of more and more pictures takes.
/// </summary>
internal static class StoryBenchmark
{
    private const int Groups = 2;

    private static readonly Layer[] Layers = [new("level 32", 1280, 20, 32, 30), new("level 64", 640, 10, 16, 6)];

    public static int Run(string[] args)
    {
        var setting = new Setting(
            Machine.Option(args, "--device", "cpu") == "cuda", Machine.Option(args, "--precision", "fp32"),
            float.Parse(Machine.Option(args, "--share", "0.5")), Machine.Option(args, "--runs", args.Contains("cuda") ? 20 : 3));
        var size = Machine.Option(args, "--size", 768);
        int[] images = [.. Machine.Option(args, "--images", "2,3,4").Split(',').Select(int.Parse)];
        Machine.Print();
        Console.WriteLine($"SDXL at {size} x {size}, {(setting.Cuda ? "CUDA" : "CPU")} {setting.Precision}, {setting.Share:P0} of the others' tokens");
        if (args.Contains("--memory"))
            CompareMemory(setting, size, images);
        else
            CompareTimes(setting, size, images, args.Contains("--kernel-only"));
        if (Machine.Option(args, "--python", "") is { Length: > 0 } python)
        {
            PyTorchPeer.Run(python, "story.py",
                $"--device {(setting.Cuda ? "cuda" : "cpu")} --precision {setting.Precision} --size {size} --share {setting.Share} "
                + $"--images {string.Join(',', images)} --runs {setting.Runs}");
        }
        return 0;
    }

    private static void CompareTimes(Setting setting, int size, int[] images, bool kernelOnly)
    {
        Way[] ways = kernelOnly ? [Way.Kernel] : [Way.Kernel, Way.Definition, Way.Standard];
        Console.WriteLine($"median ms of a layer{"",-22} {string.Join(' ', ways.Select(way => $"{way,12}"))}");
        var sums = new Dictionary<(int Images, Way Way), double>();
        foreach (var layer in Layers)
        {
            Print(layer, new Pass("plain, 1 picture", 1, 0, ConsistentAttentionMode.Plain));
            foreach (var count in images)
            {
                var write = Print(layer, new Pass($"write of {count}", count, 0, ConsistentAttentionMode.Masked));
                var read = Print(layer, new Pass($"read from {count}", 1, count, ConsistentAttentionMode.Masked));
                foreach (var (i, way) in ways.Index())
                    sums[(count, way)] = sums.GetValueOrDefault((count, way)) + (layer.Count * (write[i] + read[i]));
            }
        }
        foreach (var count in images)
        {
            var step = string.Join(' ', ways.Select(way => $"{sums[(count, way)],12:F1}"));
            Console.WriteLine($"{$"all 36 layers, write of {count} and one read",-42} {step}");
        }

        double[] Print(Layer layer, Pass pass)
        {
            double[] times = Array.ConvertAll(ways, way => Measure(setting, layer, layer.Tokens(size), pass, way).Milliseconds);
            Console.WriteLine($"{$"{layer.Name}, {pass.Name}",-42} {string.Join(' ', times.Select(time => $"{time,12:F2}"))}");
            return times;
        }
    }

    private static void CompareMemory(Setting setting, int size, int[] images)
    {
        setting = setting with { Runs = 1 };
        var layer = Layers[^1];
        var tokens = layer.Tokens(size);
        Console.WriteLine($"{layer.Name}, write: MB beside the inputs          {"scores alone",13} {"kernel",12} {"standard",12}");
        foreach (var count in images)
        {
            var pass = new Pass("", count, 0, ConsistentAttentionMode.Masked);
            var scores = (double)Groups * layer.Heads * count * tokens * count * tokens * setting.ElementSize / 1e6;
            var kernel = Measure(setting, layer, tokens, pass, Way.Kernel);
            var standard = Measure(setting, layer, tokens, pass, Way.Standard);
            Console.WriteLine($"{count,2} pictures of {tokens} tokens{"",-17} {scores,13:F0} {kernel.Bytes / 1e6,12:F0} {standard.Bytes / 1e6,12:F0}");
        }
    }

    // Not a number where memory does not suffice.
    private static (double Milliseconds, double Bytes) Measure(Setting setting, Layer layer, int tokens, Pass pass, Way way)
    {
        var scores = (double)Groups * layer.Heads * pass.Images * tokens * pass.Keys(tokens) * setting.ElementSize;
        if (!setting.Cuda && way != Way.Kernel && 3 * scores > GC.GetGCMemoryInfo().TotalAvailableMemoryBytes)
            return (double.NaN, double.NaN);
        try
        {
            using var options = Options(setting, way);
            using var inputs = Inputs(setting, layer, tokens, pass, way);
            var memory = new PeakMemory(setting.Cuda);
            using var session = new InferenceSession(Model(setting, layer, tokens, pass, way).ToBytes(), options);
            using var mode = OrtValue.CreateTensorValueFromMemory([(int)pass.Mode], [1]);
            using var binding = session.CreateIoBinding();
            using var device = OpBenchmark.Memory(setting.Cuda);
            using var runOptions = new RunOptions();
            using var empty = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, setting.Type, [Groups, 0, layer.Channels]);
            var isEmpty = pass.Tensors(layer, tokens).Where(tensor => IsEmpty(tensor.Dims)).Select(tensor => tensor.Name).ToHashSet();
            using var onDevice = inputs.GetEnumerator();
            foreach (var name in session.InputNames)
                binding.BindInput(name, name == "mode" ? mode : isEmpty.Contains(name) ? empty : Next(onDevice));
            binding.BindOutputToDevice("output", device);
            var warmUps = setting.Cuda ? 3 : 1;
            var times = new List<double>();
            for (var run = 0; run < warmUps + setting.Runs; run++)
            {
                var watch = Stopwatch.StartNew();
                session.RunWithBinding(runOptions, binding);
                binding.SynchronizeBoundOutputs();
                if (run >= warmUps)
                    times.Add(watch.Elapsed.TotalMilliseconds);
            }
            times.Sort();
            return (times[times.Count / 2], memory.Bytes);
        }
        catch (OnnxRuntimeException error) when (error.Message.Contains("memory", StringComparison.OrdinalIgnoreCase))
        {
            return (double.NaN, double.NaN);
        }
    }

    // ONNX Runtime's CUDA provider draws no tensor without elements.
    private static bool IsEmpty(long[] dims) => dims.Contains(0);

    private static OrtValue Next(IEnumerator<OrtValue> values) =>
        values.MoveNext() ? values.Current : throw new InvalidOperationException("there are more inputs than values");

    private static SessionOptions Options(Setting setting, Way way)
    {
        var options = new SessionOptions
        {
            IntraOpNumThreads = Environment.ProcessorCount, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
        };
        if (setting.Cuda)
        {
            using var provider = new OrtCUDAProviderOptions();
            provider.UpdateOptions(new()
            {
                ["device_id"] = "0", ["use_tf32"] = setting.Precision == "tf32" ? "1" : "0", ["arena_extend_strategy"] = "kSameAsRequested",
            });
            options.AppendExecutionProvider_CUDA(provider);
        }
        if (way == Way.Kernel)
            KernelLibrary.Register(options, setting.Cuda);
        return options;
    }

    private static IDisposableReadOnlyCollection<OrtValue> Inputs(Setting setting, Layer layer, int tokens, Pass pass, Way way)
    {
        var builder = new GraphBuilder();
        foreach (var (name, dims) in pass.Tensors(layer, tokens).Where(tensor => !IsEmpty(tensor.Dims)))
            builder.Output(name, OpBenchmark.Random(builder, dims).Cast(setting.Type));
        var random = new Random(1);
        bool[] isAllowed = [.. Enumerable.Range(0, pass.Images * pass.Keys(tokens)).Select(_ => random.NextSingle() < setting.Share)];
        for (var image = 0; image < pass.Images; image++)
            isAllowed.AsSpan((image * pass.Keys(tokens)) + ((pass.BankImages + image) * tokens), tokens).Fill(true);
        long[] size = [pass.Images, pass.Keys(tokens)];
        // An Identity of a constant would be one value for the graph's output and its weight.
        var mask = way == Way.Standard
            ? builder.Constant(Tensor.Create<float>(Array.ConvertAll(isAllowed, allowed => allowed ? 0 : float.NegativeInfinity), size))
                .Cast(setting.Type)
            : builder.Op("Not", [builder.Constant(Tensor.Create<bool>(Array.ConvertAll(isAllowed, allowed => !allowed), size))]);
        builder.Output("mask", mask);
        return OpBenchmark.OnDevice(builder.ToModel(), setting.Cuda);
    }

    private static OnnxModel Model(Setting setting, Layer layer, int tokens, Pass pass, Way way)
    {
        var builder = new GraphBuilder();
        Value[] inputs = [.. pass.Tensors(layer, tokens).Select(input => builder.Input(input.Name, setting.Type, Shape.Of(input.Dims)))];
        Shape size = [pass.Images, pass.Keys(tokens)];
        var output = way == Way.Standard
            ? Standard(inputs, builder.Input("mask", setting.Type, size), layer, tokens, pass.Images)
            : ConsistentSelfAttention.Apply(
                inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], builder.Input("mask", TensorElementType.Bool, size),
                builder.Input("mode", TensorElementType.Int32, [1]), layer.Heads, Groups, layer: 0);
        builder.Output("output", output);
        return builder.ToModel();
    }

    // One graph for all modes, which are masks.
    private static Value Standard(Value[] inputs, Value mask, Layer layer, int tokens, int images)
    {
        var (builder, width) = (mask.Builder, layer.Channels / layer.Heads);
        Value Keys(Value bank, Value live) => builder.Concat(1, bank, live.Reshape(Groups, -1, layer.Channels))
            .Reshape(Groups, 1, -1, layer.Heads, width);
        var query = inputs[0].Reshape(Groups, images, tokens, layer.Heads, width).Transpose(0, 3, 1, 2, 4);
        var key = Keys(inputs[3], inputs[1]).Transpose(0, 3, 1, 4, 2);
        var value = Keys(inputs[4], inputs[2]).Transpose(0, 3, 1, 2, 4);
        var scores = (query.MatMul(key) * (1 / Math.Sqrt(width))) + mask.Unsqueeze(1);
        return scores.Softmax().MatMul(value).Transpose(0, 2, 3, 1, 4).Reshape(Groups * images, tokens, layer.Channels);
    }

    private enum Way
    {
        Kernel,
        Definition,
        Standard,
    }

    private sealed record Setting(bool Cuda, string Precision, float Share, int Runs)
    {
        public TensorElementType Type => Precision == "fp16" ? TensorElementType.Float16 : TensorElementType.Float;

        public int ElementSize => Precision == "fp16" ? 2 : 4;
    }

    /// <summary>Self-attentions of one kind in the UNet: a token is <paramref name="Stride"/> pixels wide.</summary>
    private sealed record Layer(string Name, int Channels, int Heads, int Stride, int Count)
    {
        public int Tokens(int size) => size / Stride * (size / Stride);
    }

    private sealed record Pass(string Name, int Images, int BankImages, ConsistentAttentionMode Mode)
    {
        public int Keys(int tokens) => (BankImages + Images) * tokens;

        public (string Name, long[] Dims)[] Tensors(Layer layer, int tokens)
        {
            long[] live = [Groups * Images, tokens, layer.Channels], bank = [Groups, BankImages * tokens, layer.Channels];
            return [("query", live), ("key", live), ("value", live), ("bank_key", bank), ("bank_value", bank)];
        }
    }
}
