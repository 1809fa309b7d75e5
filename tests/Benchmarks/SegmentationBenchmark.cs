using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Benchmarks;

/// <summary>
/// Few-shot segmentation: whole episodes, each query with support images of its own, by our kernels, by the definitions of our operators
/// and in PyTorch; and queries whose one support was computed before.
/// </summary>
internal static class SegmentationBenchmark
{
    public static int Run(string[] args)
    {
        var cuda = Machine.Option(args, "--device", "cpu") == "cuda";
        var name = Machine.Option(args, "--model", "sccan_resnet50");
        if (!Sccan.Variants.TryGetValue(name, out var config))
            throw new ArgumentException($"There is no few-shot model '{name}'; there are {string.Join(", ", Sccan.Variants.Keys)}.");
        config = config with
        {
            ShotCount = Machine.Option(args, "--shots", 1), ImageSize = Machine.Option(args, "--size", config.ImageSize),
        };
        var batch = Machine.Option(args, "--batch", cuda ? 8 : 1);
        var precision = Machine.Option(args, "--precision", cuda ? "tf32" : "fp32");
        var runs = Machine.Option(args, "--runs", cuda ? 30 : 5);
        var provider = Machine.Option(args, "--provider", "").Split(',', StringSplitOptions.RemoveEmptyEntries)
            .Select(pair => pair.Split('=')).Prepend(["use_tf32", precision == "fp32" ? "0" : "1"]).Prepend(["device_id", "0"])
            .ToDictionary(pair => pair[0], pair => pair[1]);
        var way = new Way(precision, batch, runs, cuda ? provider : null, args.Contains("--profile"));

        Machine.Print();
        Console.WriteLine($"{name}, {config.ShotCount} shot(s), {config.ImageSize} x {config.ImageSize}, batch {batch}, {precision}");
        var weights = new RandomWeights(1);
        using var episodes = Inputs(config, batch, cuda);
        var definition = Measure("whole episodes, by definition", Sccan.Build(config, weights), episodes, way, hasKernels: false);
        var ours = Measure("whole episodes", Sccan.Build(config, weights), episodes, way, hasKernels: true);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"definition / kernels: {definition / ours:F2}"));

        using var oneSupport = Inputs(config, 1, cuda);
        var supportWay = way with { Batch = 1 };
        using var support = Outputs(Sccan.BuildSupport(config, weights), oneSupport, supportWay);
        Measure("one support alone", Sccan.BuildSupport(config, weights), oneSupport, supportWay, hasKernels: true);
        var queries = new Dictionary<string, OrtValue>(support.Values) { ["x"] = episodes.Values["x"] };
        Measure("queries of a support computed before", Sccan.BuildQuery(config, weights), new(queries), way, hasKernels: true);

        if (Machine.Option(args, "--python", "") is { Length: > 0 } python && PyTorchPeer.Run(python, "sccan.py",
            $"--device {(cuda ? "cuda" : "cpu")} --layers {config.Backbone.Depths.Sum() * 3 + 2} --size {config.ImageSize} "
                + $"--shots {config.ShotCount} --batch {batch} --runs {runs} --precision {precision}") is { } theirs)
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"PyTorch / ours, whole episodes: {theirs / ours:F2}"));
        }
        return 0;
    }

    private static double Measure(string what, OnnxModel model, DeviceValues inputs, Way way, bool hasKernels)
    {
        using var options = Options(way, hasKernels);
        if (way.Profile)
        {
            options.ProfileOutputPathPrefix = Path.Combine(Path.GetTempPath(), "segmentation");
            options.EnableProfiling = true;
        }
        using var session = new InferenceSession(Bytes(model, way), options);
        using var binding = Bind(session, inputs, way);
        using var runOptions = new RunOptions();
        const int warmUps = 4;
        var times = new List<double>();
        for (var run = 0; run < warmUps + way.Runs; run++)
        {
            var watch = Stopwatch.StartNew();
            session.RunWithBinding(runOptions, binding);
            binding.SynchronizeBoundOutputs();
            if (run == 0)
                Console.WriteLine($"first run: {watch.Elapsed.TotalSeconds:F2} s");
            if (run >= warmUps)
                times.Add(watch.Elapsed.TotalMilliseconds);
        }
        if (way.Profile)
            Console.WriteLine($"profile: {session.EndProfiling()}");
        times.Sort();
        var median = times[times.Count / 2];
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"ours, {what}: median {median:F2} ms, least {times[0]:F2} ms, {way.Batch / median * 1e3:F1} images/s"));
        return median;
    }

    private static DeviceValues Outputs(OnnxModel model, DeviceValues inputs, Way way)
    {
        using var options = Options(way, hasKernels: true);
        using var session = new InferenceSession(Bytes(model, way), options);
        using var binding = Bind(session, inputs, way);
        using var runOptions = new RunOptions();
        session.RunWithBinding(runOptions, binding);
        binding.SynchronizeBoundOutputs();
        var outputs = binding.GetOutputValues();
        return new(session.OutputNames.Zip(outputs).ToDictionary(pair => pair.First, pair => pair.Second)) { Owner = outputs };
    }

    private static byte[] Bytes(OnnxModel model, Way way) => (way.Precision == "fp16" ? HalfPrecision.Convert(model) : model).ToBytes();

    private static OrtIoBinding Bind(InferenceSession session, DeviceValues inputs, Way way)
    {
        var binding = session.CreateIoBinding();
        foreach (var name in session.InputNames)
            binding.BindInput(name, inputs.Values[name]);
        using var memory = OpBenchmark.Memory(way.Provider is not null);
        foreach (var name in session.OutputNames)
            binding.BindOutputToDevice(name, memory);
        return binding;
    }

    private static SessionOptions Options(Way way, bool hasKernels)
    {
        var options = new SessionOptions
        {
            IntraOpNumThreads = way.Provider is null ? Environment.ProcessorCount : 1,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        if (way.Provider is not null)
        {
            using var provider = new OrtCUDAProviderOptions();
            provider.UpdateOptions(way.Provider);
            options.AppendExecutionProvider_CUDA(provider);
        }
        if (hasKernels)
            KernelLibrary.Register(options, way.Provider is not null);
        return options;
    }

    private static DeviceValues Inputs(SccanConfig config, long batch, bool cuda)
    {
        long[] image = [config.Backbone.InputChannels, config.ImageSize, config.ImageSize];
        var builder = new GraphBuilder();
        builder.Output("x", OpBenchmark.Random(builder, [batch, .. image]));
        builder.Output("support", OpBenchmark.Random(builder, [batch, config.ShotCount, .. image]));
        var mask = OpBenchmark.Random(builder, [batch, config.ShotCount, .. image[1..]]);
        builder.Output("mask", builder.Op("Greater", [mask, builder.Scalar(0, mask)]).Cast(TensorElementType.UInt8));
        var outputs = OpBenchmark.OnDevice(builder.ToModel(), cuda);
        return new(builder.Graph.Outputs.Zip(outputs).ToDictionary(pair => pair.First, pair => pair.Second)) { Owner = outputs };
    }

    /// <param name="Precision">fp32, tf32 or fp16.</param>
    /// <param name="Batch">Query images of a run.</param>
    /// <param name="Runs">Runs that are timed.</param>
    /// <param name="Provider">The options of the CUDA provider; null for the CPU.</param>
    /// <param name="Profile">Whether ONNX Runtime writes a profile of each session.</param>
    private sealed record Way(string Precision, int Batch, int Runs, Dictionary<string, string>? Provider, bool Profile);

    private sealed record DeviceValues(IReadOnlyDictionary<string, OrtValue> Values) : IDisposable
    {
        public IDisposable? Owner { get; init; }

        public void Dispose() => Owner?.Dispose();
    }
}
