using System.CommandLine;
using System.Runtime.InteropServices;
using FashionMnist;
using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Spectre.Console;

var data = new Option<string>("--data")
{
    Description = "The folder of the data set's four gzip files, such as Debian's package dataset-fashion-mnist installs.",
    DefaultValueFactory = _ => "/usr/share/datasets/fashion-mnist",
};
var architectures = new Option<string[]>("--architecture")
{
    Description = "The architectures to train, one after the other.",
    DefaultValueFactory = _ => ["biformer_nano", "tnt_nano", "ptnt_nano", "raftmlp_nano", "resnet_ela_nano"],
    AllowMultipleArgumentsPerToken = true,
};
architectures.Validators.Add(result =>
{
    foreach (var name in result.GetValueOrDefault<string[]>() ?? [])
    {
        if (!ImageClassifiers.Variants.ContainsKey(name))
            result.AddError($"There is no architecture '{name}'; there are {string.Join(", ", ImageClassifiers.Variants.Keys.Order())}.");
    }
});
var epochs = new Option<int>("--epochs") { Description = "How often each picture is seen.", DefaultValueFactory = _ => 30 };
var batch = new Option<int>("--batch") { Description = "Pictures a step.", DefaultValueFactory = _ => 256 };
var rate = new Option<float>("--learning-rate") { Description = "The highest learning rate of AdamW.", DefaultValueFactory = _ => 2e-3f };
var count = new Option<int?>("--pictures") { Description = "Train on so many of the 55,000 pictures; for a trial." };
var provider = new Option<ExecutionProvider>("--provider")
{
    Description = "cpu, cuda, or auto for CUDA where it works.", DefaultValueFactory = _ => ExecutionProvider.Auto,
};
var precision = new Option<TrainingPrecision>("--precision")
{
    Description = "float32, or mixed for float16 where it is safe, which needs CUDA.", DefaultValueFactory = _ => TrainingPrecision.Float32,
};
var erasing = new Option<double>("--erasing") { Description = "How often a part of a picture is erased.", DefaultValueFactory = _ => 0.15 };
var mixing = new Option<double>("--mixing") { Description = "How often a batch is mixed.", DefaultValueFactory = _ => 0 };
var dropPath = new Option<float>("--drop-path") { Description = "Stochastic depth of the last block.", DefaultValueFactory = _ => 0.05f };
var seed = new Option<int>("--seed") { Description = "Decides weights, order and augmentation.", DefaultValueFactory = _ => 1 };
var output = new Option<string>("--output")
{
    Description = "The folder for models, cards, curves and checkpoints; the same command goes on where it was stopped.",
    DefaultValueFactory = _ => "artifacts/FashionMnist",
};
var command = new RootCommand(
    "Trains small attention models on the 60,000 pictures of Fashion-MNIST (5,000 of them kept out to choose the best epoch and recipe), "
    + "tests them on the 10,000 test pictures, and saves each as an ML.NET model with a card.")
{
    data, architectures, epochs, batch, rate, count, erasing, mixing, dropPath, provider, precision, seed, output,
};
command.SetAction(parsed =>
{
    using var cancellation = new CancellationTokenSource();
    using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
    using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
    try
    {
        var folder = parsed.GetValue(data)!;
        var training = new Training(
            new(LabelledPicture.Read(folder, "train"), LabelledPicture.Read(folder, "t10k"), parsed.GetValue(count)),
            new()
            {
                EpochCount = parsed.GetValue(epochs),
                BatchSize = parsed.GetValue(batch),
                LearningRate = parsed.GetValue(rate),
                Provider = parsed.GetValue(provider),
                Erasing = parsed.GetValue(erasing),
                MixingProbability = parsed.GetValue(mixing),
                DropPathRate = parsed.GetValue(dropPath),
                Precision = parsed.GetValue(precision),
                Seed = parsed.GetValue(seed),
                Output = parsed.GetValue(output)!,
                Cancellation = cancellation.Token,
            });
        var table = new Table().AddColumns("architecture", "parameters", "validation", "test", "seconds", "pictures/s", "device waits");
        foreach (var name in parsed.GetValue(architectures)!)
        {
            var (card, summary) = training.Run(name);
            table.AddRow(
                name, $"{card.ParameterCount:N0}", $"{card.ValidationAccuracy:P2}", $"{card.TestAccuracy:P2}",
                $"{summary.Elapsed.TotalSeconds:F0}", $"{summary.PicturesPerSecond:N0}", $"{summary.WaitShare:P1}");
        }
        AnsiConsole.Write(table);
        return 0;
    }
    catch (OperationCanceledException)
    {
        Console.Error.WriteLine("Cancelled; the same command goes on from the last checkpoint.");
        return 130;
    }
    catch (Exception error) when (error is IOException or InvalidDataException)
    {
        Console.Error.WriteLine(error.Message);
        return 2;
    }

    // The first signal ends the training in an orderly way, a second one at once.
    void Cancel(PosixSignalContext context)
    {
        context.Cancel = !cancellation.IsCancellationRequested;
        cancellation.Cancel();
    }
});
return command.Parse(args).Invoke();
