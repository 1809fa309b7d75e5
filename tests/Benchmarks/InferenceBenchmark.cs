using System.Diagnostics;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;

namespace Benchmarks;

/// <summary>UGDC's predicting net: with our kernels, by function bodies alone, and in PyTorch.</summary>
internal static class InferenceBenchmark
{
    public static int Run(string[] args)
    {
        var cuda = Option(args, "--device", "cpu") == "cuda";
        var precision = Option(args, "--precision", cuda ? "fp16" : "fp32");
        var (batch, runs) = (int.Parse(Option(args, "--batch", cuda ? "8" : "1")), int.Parse(Option(args, "--runs", cuda ? "30" : "5")));
        var config = Ugdc.Variants["ugdc"] with
        {
            Height = int.Parse(Option(args, "--height", "400")),
            Width = int.Parse(Option(args, "--width", "640")),
            StemWidth = int.Parse(Option(args, "--stem", "64")),
        };
        Machine.Print();
        var model = Ugdc.Build(config, new RandomWeights(1));
        if (args.Contains("--depthwise"))
            model = WithDepthwiseKernels(model, batch);
        var bytes = (precision == "fp16" ? HalfPrecision.Convert(model) : model).ToBytes();
        long[] size = [batch, 3, config.Height, config.Width];
        var provider = Option(args, "--provider", "").Split(',', StringSplitOptions.RemoveEmptyEntries).Select(pair => pair.Split('='))
            .Prepend(["use_tf32", precision == "fp32" ? "0" : "1"]).Prepend(["device_id", "0"]).ToDictionary(pair => pair[0], pair => pair[1]);
        var label = $"ugdc {config.Height}x{config.Width} batch {batch} {precision}";
        var definition = Median(bytes, size, runs, cuda ? provider : null, withKernels: false);
        Console.WriteLine($"by definition: {label}: median {definition:F2} ms, {batch / definition * 1e3:F1} pictures/s");
        var ours = Median(bytes, size, runs, cuda ? provider : null, withKernels: true, args.Contains("--profile"));
        Console.WriteLine($"ours: {label}: median {ours:F2} ms, {batch / ours * 1e3:F1} pictures/s");
        if (Option(args, "--python", "") is { Length: > 0 } python)
        {
            var arguments = $"--device {(cuda ? "cuda" : "cpu")} --height {config.Height} --width {config.Width} --stem {config.StemWidth} "
                + $"--batch {batch} --runs {runs} --precision {precision}";
            foreach (var way in cuda ? new[] { "", " --compile" } : [""])
            {
                if (PyTorchPeer.Run(python, "ugdc.py", arguments + way) is { } theirs)
                    Console.WriteLine($"PyTorch{way} / ours: {theirs / ours:F2}");
            }
        }
        return 0;
    }

    /// <summary>The median time in milliseconds of a model with an input <c>x</c>.</summary>
    public static double Median(
        byte[] model, long[] size, int runs, Dictionary<string, string>? cuda, bool withKernels, bool profile = false, string output = "y")
    {
        using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        if (profile)
        {
            options.ProfileOutputPathPrefix = Path.Combine(Path.GetTempPath(), "inference");
            options.EnableProfiling = true;
        }
        if (cuda is not null)
        {
            using var provider = new OrtCUDAProviderOptions();
            provider.UpdateOptions(cuda);
            options.AppendExecutionProvider_CUDA(provider);
        }
        if (withKernels)
            KernelLibrary.Register(options, cuda is not null);
        using var session = new InferenceSession(model, options);
        using var inputs = OpBenchmark.RandomOnDevice([("x", size)], cuda is not null);
        using var binding = session.CreateIoBinding();
        using var memory = OpBenchmark.Memory(cuda is not null);
        using var runOptions = new RunOptions();
        binding.BindInput("x", inputs[0]);
        binding.BindOutputToDevice(output, memory);
        const int warmUps = 4;
        var times = new List<double>();
        for (var run = 0; run < warmUps + runs; run++)
        {
            var watch = Stopwatch.StartNew();
            session.RunWithBinding(runOptions, binding);
            binding.SynchronizeBoundOutputs();
            if (run == 0)
                Console.WriteLine($"first run: {watch.Elapsed.TotalSeconds:F2} s");
            if (run >= warmUps)
                times.Add(watch.Elapsed.TotalMilliseconds);
        }
        if (profile)
            Console.WriteLine($"profile: {session.EndProfiling()}");
        times.Sort();
        return times[runs / 2];
    }

    // Depthwise convolutions by our kernels, too, which have to know all sizes.
    private static OnnxModel WithDepthwiseKernels(OnnxModel model, long batch)
    {
        GraphSimplifier.FixSizes(model.Graph, new Dictionary<string, long> { ["N"] = batch }, model.Functions);
        DepthwiseConv.Replace(model.Graph);
        return new GraphBuilder(model.Graph).ToModel();
    }

    private static string Option(string[] args, string name, string value) => Array.IndexOf(args, name) is var at and >= 0 ? args[at + 1] : value;
}
