using System.CommandLine;
using System.Runtime.InteropServices;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Models;

namespace Sweep;

/// <summary>The command line.</summary>
internal static class SweepCommand
{
    private static readonly Option<string?> Data = new("--data")
    {
        Description = "A folder with a folder of pictures for each class; without it 4,000 product photos that come with the sample.",
    };

    private static readonly Option<string> Output = new("--output")
    {
        Description = "The folder for best.zip, trials.csv and sweep.png.",
        DefaultValueFactory = _ => "artifacts/Sweep",
    };

    private static readonly Option<double> Minutes = new("--minutes")
    {
        Description = "The time for the sweep; the training of the best on all pictures comes on top.",
        DefaultValueFactory = _ => 10,
    };

    private static readonly Option<string[]> Architectures = new("--architectures")
    {
        Description = "What is tried, by name (samples/ModelTool lists all names).",
        DefaultValueFactory = _ => [.. new SearchSpace().Architectures],
        AllowMultipleArgumentsPerToken = true,
    };

    private static readonly Option<int> Candidates = Count("--candidates", 8, least: 1, "How many candidates are drawn.");
    private static readonly Option<int> Folds = Count("--folds", 2, least: 2, "Folds of the cross-validation.");
    private static readonly Option<int> FirstEpochs = Count("--first-epochs", 1, least: 1, "Epochs of the first round.");
    private static readonly Option<int> Epochs = Count("--epochs", 9, least: 1, "Most epochs of a round, and epochs of the best model.");
    private static readonly Option<int> Reduction =
        Count("--reduction", 3, least: 2, "One of so many goes on, with as many times the epochs.");
    private static readonly Option<int> Size = Count("--size", 28, least: 16, "Pixels a side that pictures are stretched to.");
    private static readonly Option<int> Seed = Count("--seed", 1, least: 0, "Decides candidates, folds and trainings.");

    private static readonly Option<ExecutionProvider> Provider = new("--provider")
    {
        Description = "cpu, cuda, or auto for CUDA where it works.",
        DefaultValueFactory = _ => ExecutionProvider.Auto,
    };

    public static RootCommand Create()
    {
        Minutes.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double>() is not (> 0 and <= 10_000))
                result.AddError($"{Minutes.Name} must be above 0, and 10000 at most.");
        });
        Architectures.Validators.Add(result =>
        {
            foreach (var name in result.GetValueOrDefault<string[]>().Where(name => !ImageClassifiers.Variants.ContainsKey(name)))
                result.AddError($"{Architectures.Name}: there is no architecture '{name}'; samples/ModelTool lists all names.");
        });
        var command = new RootCommand(
            "Looks for a good architecture and hyper-parameters for your pictures. Draws candidates, cross-validates all of them with a "
            + "short training, the better ones with a longer one, and so on while there is time (successive halving). Then trains the best "
            + "on all pictures and saves the pipeline for mlContext.Model.Load. Exit codes: 0 done, 1 error, 130 cancelled.")
        {
            Data, Output, Minutes, Architectures, Candidates, Folds, FirstEpochs, Epochs, Reduction, Size, Seed, Provider,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        using var cancellation = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
        try
        {
            SweepJob.Run(Options(parsed), cancellation.Token);
            return 0;
        }
        catch (OperationCanceledException)
        {
            Console.Error.WriteLine("Cancelled.");
            return 130;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException or TimeoutException
            or InvalidOperationException)
        {
            Console.Error.WriteLine(error.Message);
            return 1;
        }

        // The first signal ends the sweep after the step at hand, a second one at once.
        void Cancel(PosixSignalContext signal)
        {
            signal.Cancel = !cancellation.IsCancellationRequested;
            cancellation.Cancel();
        }
    }

    private static SweepOptions Options(ParseResult parsed) => new()
    {
        Data = parsed.GetValue(Data),
        Output = parsed.GetValue(Output)!,
        Time = TimeSpan.FromMinutes(parsed.GetValue(Minutes)),
        Space = new() { Architectures = parsed.GetValue(Architectures)! },
        CandidateCount = parsed.GetValue(Candidates),
        Folds = parsed.GetValue(Folds),
        FirstEpochs = parsed.GetValue(FirstEpochs),
        Epochs = parsed.GetValue(Epochs),
        Reduction = parsed.GetValue(Reduction),
        Size = parsed.GetValue(Size),
        Seed = parsed.GetValue(Seed),
        Provider = parsed.GetValue(Provider),
    };

    private static Option<int> Count(string name, int value, int least, string description)
    {
        var option = new Option<int>(name) { Description = description, DefaultValueFactory = _ => value };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < least)
                result.AddError($"{name} must be {least} or more.");
        });
        return option;
    }
}
