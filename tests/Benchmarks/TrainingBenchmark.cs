using System.Diagnostics;
using System.Text.Json;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Benchmarks;

/// <summary>A training step (forward, backward, AdamW) of a model, beside the same model in PyTorch where there is one.</summary>
internal static class TrainingBenchmark
{
    private static readonly BiFormerConfig SmallBiFormer = new()
    {
        Depths = [1, 1, 2], Widths = [32, 64, 128], MlpRatios = [3, 3, 3], WindowCounts = [4, 4, 4], TopKs = [2, 4, -2], ClassCount = 10,
    };

    public static int Run(string[] args)
    {
        var cuda = Option(args, "--device", "cpu") == "cuda";
        var name = Option(args, "--model", cuda ? "biformer_tiny" : "biformer_small32");
        var isSmall = name == "biformer_small32";
        var size = int.Parse(Option(args, "--size", isSmall ? "32" : "224"));
        var batch = int.Parse(Option(args, "--batch", cuda ? "128" : isSmall ? "64" : "4"));
        var steps = int.Parse(Option(args, "--steps", cuda ? "20" : "9"));
        var precision = Option(args, "--precision", cuda ? "tf32" : "fp32");
        var config = isSmall ? SmallBiFormer : ImageClassifiers.Find(name);

        Machine.Print();
        var ours = Median(
            config.Build(new RandomWeights(1), size, size), batch, steps, cuda, precision, args.Contains("--profile"),
            (builder, outputs) => Losses.CrossEntropy(outputs["logits"], builder.Input("labels", TensorElementType.Int64, [batch]), labelSmoothing: 0.1f),
            (trainer, random) =>
            {
                foreach (ref var label in trainer.Input<long>("labels"))
                    label = random.Next(config.ClassCount);
            });
        Console.WriteLine($"ours: {name} size {size} batch {batch} {precision}: median {ours:F2} ms a step");
        if (Option(args, "--python", "") is { Length: > 0 } python
            && PyTorchPeer.Run(python, "training_step.py", $"{name} --device {(cuda ? "cuda" : "cpu")} --size {size} --batch {batch} --steps {steps} --precision {precision}") is { } theirs)
        {
            Console.WriteLine($"ours / PyTorch: {name} {precision} {ours / theirs:F2}");
        }
        return 0;
    }

    /// <summary>The median time in milliseconds of a training step of a model with an input <c>x</c>.</summary>
    public static double Median(
        OnnxModel model, int batch, int steps, bool cuda, string precision, bool profile,
        LossFunction loss, Action<Trainer, Random> fillTargets)
    {
        var watch = Stopwatch.StartNew();
        var graph = TrainingGraph.Build(
            model, new Dictionary<string, long> { ["N"] = batch }, loss,
            new()
            {
                Optimizer = new AdamW { WeightDecay = 0.05f },
                Precision = precision == "amp" ? TrainingPrecision.Mixed : TrainingPrecision.Float32,
            });
        using var options = new SessionOptions { IntraOpNumThreads = cuda ? 1 : 2, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        if (cuda)
        {
            using var provider = new OrtCUDAProviderOptions();
            provider.UpdateOptions(new() { ["device_id"] = "0", ["use_tf32"] = precision == "fp32" ? "0" : "1" });
            options.AppendExecutionProvider_CUDA(provider);
        }
        KernelLibrary.Register(options, cuda);
        var prefix = Path.Combine(Path.GetTempPath(), $"training-{Environment.ProcessId}");
        if (profile)
        {
            options.ProfileOutputPathPrefix = prefix;
            options.EnableProfiling = true;
        }
        double median;
        using (var trainer = new Trainer(graph, options, cuda ? 0 : null))
        {
            Console.WriteLine($"built in {watch.Elapsed.TotalSeconds:F1} s: {graph.Step.Graph.Nodes.Count} nodes, {graph.ParameterCount} parameters");
            var random = new Random(1);
            foreach (ref var pixel in trainer.Input<float>("x"))
                pixel = (random.NextSingle() * 4) - 2;
            fillTargets(trainer, random);
            var times = new List<double>();
            for (var step = 0; step < steps + 4; step++)
            {
                watch.Restart();
                var lossOfStep = trainer.Step(1e-3f);
                if (step >= 4)
                    times.Add(watch.Elapsed.TotalMilliseconds);
                else
                    Console.WriteLine($"warm-up: {watch.Elapsed.TotalMilliseconds:F0} ms, loss {lossOfStep:F3}");
            }
            times.Sort();
            median = times[times.Count / 2];
        }
        if (profile)
        {
            foreach (var file in Directory.GetFiles(Path.GetTempPath(), Path.GetFileName(prefix) + "*"))
                Summarise(file, steps);
        }
        return median;
    }

    // Time by operator and of the longest nodes, from ONNX Runtime's profile. On CUDA it means something only with CUDA_LAUNCH_BLOCKING=1.
    private static void Summarise(string file, int steps)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(file));
        var entries = document.RootElement.EnumerateArray().ToArray();
        var start = entries.Where(entry => entry.GetProperty("name").GetString() == "model_run")
            .Select(entry => entry.GetProperty("ts").GetDouble()).Order().TakeLast(steps).First();
        var kernels = entries
            .Where(entry => entry.GetProperty("name").GetString()!.EndsWith("_kernel_time", StringComparison.Ordinal))
            .Where(entry => entry.GetProperty("ts").GetDouble() >= start && entry.GetProperty("args").TryGetProperty("op_name", out _))
            .Select(entry => (
                Node: entry.GetProperty("name").GetString()!,
                Op: entry.GetProperty("args").GetProperty("op_name").GetString()!,
                Provider: entry.GetProperty("args").GetProperty("provider").GetString()!.Replace("ExecutionProvider", ""),
                Shapes: entry.GetProperty("args").GetProperty("input_type_shape").GetRawText(),
                Time: entry.GetProperty("dur").GetDouble() / 1000 / steps))
            .ToArray();
        foreach (var op in kernels.GroupBy(kernel => (kernel.Op, kernel.Provider)).OrderByDescending(op => op.Sum(kernel => kernel.Time)).Take(30))
            Console.WriteLine($"  {op.Key.Op + " " + op.Key.Provider,-40} {op.Sum(kernel => kernel.Time),9:F2} ms a step in {op.Count() / steps,5} nodes");
        foreach (var node in kernels.GroupBy(kernel => kernel.Node).OrderByDescending(node => node.Sum(kernel => kernel.Time)).Take(25))
            Console.WriteLine($"  {node.Sum(kernel => kernel.Time),9:F2} ms {node.Key} {node.First().Shapes[..Math.Min(90, node.First().Shapes.Length)]}");
        File.Delete(file);
    }

    private static string Option(string[] args, string name, string value) => Array.IndexOf(args, name) is var at and >= 0 ? args[at + 1] : value;
}
