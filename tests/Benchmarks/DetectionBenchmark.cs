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
/// A detector on one picture, with post-processing: with our kernels, by the definitions of our operators, and in PyTorch where there is
/// one.
/// </summary>
internal static class DetectionBenchmark
{
    public static int Run(string[] args)
    {
        var cuda = Option(args, "--device", "cpu") == "cuda";
        var name = Option(args, "--model", "plain_detr_swinv2_small_mim_boxrpe_reparam");
        var (height, width) = (int.Parse(Option(args, "--height", "800")), int.Parse(Option(args, "--width", "1333")));
        var steps = int.Parse(Option(args, "--steps", cuda ? "50" : "3"));
        var precision = Option(args, "--precision", cuda ? "tf32" : "fp32");
        if (!PlainDetr.Variants.TryGetValue(name, out var config))
            throw new ArgumentException($"There is no detector '{name}'; there are {string.Join(", ", PlainDetr.Variants.Keys)}.");

        Machine.Print();
        var detector = PlainDetr.Build(config, new RandomWeights(1), height: height, width: width, batchSize: 1);
        var model = (precision == "fp16" ? HalfPrecision.Convert(detector) : detector).ToBytes();
        var kernels = Measure("kernels", model, height, width, steps, cuda, precision, hasKernels: true, args.Contains("--profile"));
        var bodies = Measure("definitions", model, height, width, steps, cuda, precision, hasKernels: false, profile: false);
        Console.WriteLine($"kernels / definitions: {kernels / bodies:F2}");
        if (Option(args, "--python", "") is { Length: > 0 } python
            && PyTorchPeer.Run(python, "plain_detr.py", $"{height} {width} --device {(cuda ? "cuda" : "cpu")} --steps {steps} --precision {precision}") is { } theirs)
        {
            Console.WriteLine($"ours / PyTorch: {name} {height}x{width} {precision} {kernels / theirs:F2}");
        }
        return 0;
    }

    private static double Measure(
        string what, byte[] model, int height, int width, int steps, bool cuda, string precision, bool hasKernels, bool profile)
    {
        using var options = new SessionOptions
        {
            IntraOpNumThreads = cuda ? 1 : 2, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        if (cuda)
        {
            using var provider = new OrtCUDAProviderOptions();
            provider.UpdateOptions(new()
            {
                ["device_id"] = "0", ["use_tf32"] = precision == "fp32" ? "0" : "1",
            });
            options.AppendExecutionProvider_CUDA(provider);
        }
        if (hasKernels)
            KernelLibrary.Register(options, cuda);
        if (profile)
        {
            options.ProfileOutputPathPrefix = Path.Combine(Path.GetTempPath(), "detection");
            options.EnableProfiling = true;
        }
        using var session = new InferenceSession(model, options);
        using var runOptions = new RunOptions();
        using var image = OpBenchmark.RandomOnDevice([("image", [1, 3, height, width])], cuda);
        using var size = Sizes(height, width, cuda);
        using var memory = OpBenchmark.Memory(cuda);
        using var binding = session.CreateIoBinding();
        binding.BindInput("image", image[0]);
        binding.BindInput("size", size[0]);
        binding.BindInput("original_size", size[0]);
        foreach (var name in session.OutputNames)
            binding.BindOutputToDevice(name, memory);
        var times = new List<double>();
        for (var step = 0; step < steps + 3; step++)
        {
            var watch = Stopwatch.StartNew();
            session.RunWithBinding(runOptions, binding);
            binding.SynchronizeBoundOutputs();
            if (step == 0)
                Console.WriteLine($"first run: {watch.Elapsed.TotalSeconds:F2} s");
            if (step >= 3 || (!cuda && step > 0))
                times.Add(watch.Elapsed.TotalMilliseconds);
        }
        if (profile)
            Console.WriteLine($"profile: {session.EndProfiling()}");
        times.Sort();
        var median = times[times.Count / 2];
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"ours, {what}: {height}x{width} {precision}: median {median:F2} ms, least {times[0]:F2} ms, {1000 / median:F1} pictures a second"));
        return median;
    }

    private static IDisposableReadOnlyCollection<OrtValue> Sizes(int height, int width, bool cuda)
    {
        var builder = new GraphBuilder();
        builder.Output("size", builder.Int64(height, width).Reshape(1, 2));
        return OpBenchmark.OnDevice(builder.ToModel(), cuda);
    }

    private static string Option(string[] args, string name, string value) => Array.IndexOf(args, name) is var at and >= 0 ? args[at + 1] : value;
}
