using System.CommandLine;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Training;
using SegmentFewShot;

var device = new Option<ExecutionProvider>("--device")
{
    Description = "cpu, or cuda.", DefaultValueFactory = _ => ExecutionProvider.Cpu,
};
var minutes = new Option<double?>("--minutes") { Description = "How long to train at most; by default as the epochs take." };
var epochs = new Option<int?>("--epochs") { Description = "How often each scene is a query; 20 unless given, 200 with --minutes." };
var shots = new Option<int>("--shots") { Description = "Supports of an episode.", DefaultValueFactory = _ => 1 };
var fold = new Option<int>("--fold")
{
    Description = $"Which two classes are new in the test, 0 to {Fold.Count - 1}.", DefaultValueFactory = _ => 0,
};
var size = new Option<int?>("--size") { Description = "Height and width of the scenes, a multiple of 32; 64 unless given, 128 on cuda." };
var scenes = new Option<int?>("--scenes") { Description = "Scenes to train on; 600 unless given, 6,000 on cuda." };
var batch = new Option<int>("--batch") { Description = "Episodes a step.", DefaultValueFactory = _ => 8 };
var rate = new Option<float>("--learning-rate") { Description = "The highest learning rate.", DefaultValueFactory = _ => 3e-3f };
var sets = new Option<int?>("--sets") { Description = "Support sets of each new class; 5 unless given, 10 on cuda." };
var queries = new Option<int?>("--queries") { Description = "Queries of each support set; 10 unless given, 25 on cuda." };
var precision = new Option<TrainingPrecision>("--precision")
{
    Description = "float32, or mixed, which needs cuda.", DefaultValueFactory = _ => TrainingPrecision.Float32,
};
var data = new Option<string>("--data")
{
    Description = "A folder with Fashion-MNIST's four gzip files; without them the 5,000 pictures that the sample has are taken.",
    DefaultValueFactory = _ => "/usr/share/datasets/fashion-mnist",
};
var seed = new Option<int>("--seed") { Description = "Decides weights, scenes and episodes.", DefaultValueFactory = _ => 1 };
var output = new Option<string>("--output")
{
    Description = "Where model and pictures go.", DefaultValueFactory = _ => Path.Combine("artifacts", "SegmentFewShot"),
};
fold.Validators.Add(result =>
{
    if (result.GetValueOrDefault<int>() is < 0 or >= Fold.Count)
        result.AddError($"--fold is {result.GetValueOrDefault<int>()}; it must be 0 to {Fold.Count - 1}.");
});
size.Validators.Add(result =>
{
    if (result.GetValueOrDefault<int?>() is { } given && (given < 64 || given % 32 != 0))
        result.AddError($"--size is {given}; it must be a multiple of 32, 64 or more.");
});
var command = new RootCommand(
    "Learns to find garments in scenes from one example with its mask, and is measured on kinds of garment that it has never seen, beside a "
    + "baseline that compares features.")
{
    device, minutes, epochs, shots, fold, size, scenes, batch, rate, sets, queries, precision, data, seed, output,
};
command.SetAction(parsed =>
{
    using var cancellation = new CancellationTokenSource();
    using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
    var clock = Stopwatch.StartNew();
    var isCuda = parsed.GetValue(device) == ExecutionProvider.Cuda;
    try
    {
        var experiment = new Experiment(
            new()
            {
                Fold = new(parsed.GetValue(fold)),
                ShotCount = parsed.GetValue(shots),
                Size = parsed.GetValue(size) ?? (isCuda ? 128 : 64),
                SceneCount = parsed.GetValue(scenes) ?? (isCuda ? 6000 : 600),
                EpochCount = parsed.GetValue(epochs) ?? (parsed.GetValue(minutes) is null ? 20 : 200),
                TimeLimit = parsed.GetValue(minutes) is { } limit ? TimeSpan.FromMinutes(limit) : null,
                BatchSize = parsed.GetValue(batch),
                LearningRate = parsed.GetValue(rate),
                SetCount = parsed.GetValue(sets) ?? (isCuda ? 10 : 5),
                QueryCount = parsed.GetValue(queries) ?? (isCuda ? 25 : 10),
                Device = parsed.GetValue(device),
                Precision = parsed.GetValue(precision),
                Data = parsed.GetValue(data)!,
                Output = parsed.GetValue(output)!,
                Seed = parsed.GetValue(seed),
                Cancellation = cancellation.Token,
            },
            Say);
        Say(experiment.Run());
        return 0;
    }
    catch (OperationCanceledException)
    {
        Console.Error.WriteLine("Cancelled.");
        return 130;
    }
    catch (Exception error) when (error is IOException or InvalidDataException or InvalidOperationException or ArgumentException)
    {
        Console.Error.WriteLine(error.Message);
        return 2;
    }

    void Say(string message) => Console.WriteLine($"{clock.Elapsed:mm\\:ss} {message}");

    // The first signal ends the run in an orderly way, a second one at once.
    void Cancel(PosixSignalContext context)
    {
        context.Cancel = !cancellation.IsCancellationRequested;
        cancellation.Cancel();
    }
});
return command.Parse(args).Invoke();
