using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Benchmarks;

/// <summary>TSCAN of the published width with both branches on 48 hours: rows a second of scoring and of training, beside PyTorch.</summary>
internal static class TimeSeriesBenchmark
{
    public static int Run(string[] args)
    {
        var cuda = Machine.Option(args, "--device", "cpu") == "cuda";
        var (inputs, columns) = Machine.Option(args, "--variables", "17") == "155" ? (352, 197) : (76, 59);
        var batch = Machine.Option(args, "--batch", cuda ? 256 : 64);
        var runs = Machine.Option(args, "--runs", cuda ? 30 : 9);
        var precision = Machine.Option(args, "--precision", cuda ? "tf32" : "fp32");
        var config = new TscanConfig { InputCount = inputs, ColumnCount = columns };
        var label = $"{columns} of {inputs} columns, batch {batch}, {precision}";
        Machine.Print();

        // Mixed precision is of training only.
        if (precision != "amp")
        {
            var model = Tscan.Build(config with { DropoutRate = 0 }, new RandomWeights(1)).ToBytes();
            var provider = new Dictionary<string, string> { ["device_id"] = "0", ["use_tf32"] = precision == "fp32" ? "0" : "1" };
            long[] size = [batch, config.BinCount, inputs];
            Report("scoring by definition", InferenceBenchmark.Median(model, size, runs, cuda ? provider : null, false, output: "logits"));
            Compare("scoring", InferenceBenchmark.Median(
                model, size, runs, cuda ? provider : null, true, args.Contains("--profile"), "logits"));
        }
        Compare("training", TrainingBenchmark.Median(
            Tscan.Build(config, new RandomWeights(1)), batch, runs, cuda, precision, args.Contains("--profile"),
            (builder, outputs) => Losses.BinaryCrossEntropy(
                outputs["logits"], builder.Input("targets", TensorElementType.Float, [batch, config.OutputCount])),
            (trainer, random) =>
            {
                foreach (ref var target in trainer.Input<float>("targets"))
                    target = random.Next(2);
            }));
        return 0;

        void Report(string what, double time) =>
            Console.WriteLine($"{what}, {label}: median {time:F2} ms, {batch / time * 1e3:F0} rows/s");

        void Compare(string what, double time)
        {
            Report(what, time);
            var arguments = $"{what} --device {(cuda ? "cuda" : "cpu")} --inputs {inputs} --columns {columns} --batch {batch} --runs {runs} "
                + $"--precision {precision}";
            if (Machine.Option(args, "--python", "") is { Length: > 0 } python && PyTorchPeer.Run(python, "tscan.py", arguments) is { } theirs)
                Console.WriteLine($"{what}, {label}: ours / PyTorch {time / theirs:F2}");
        }
    }
}
