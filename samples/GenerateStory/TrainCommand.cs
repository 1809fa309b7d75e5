using System.CommandLine;
using System.Diagnostics;
using GenerateStory.Training;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;

namespace GenerateStory;

/// <summary><c>GenerateStory train</c>: trains the model that comes with the sample.</summary>
internal static class TrainCommand
{
    private const string Autoencoder = "autoencoder", Unet = "unet", Reader = "reader";

    // Of the time.
    private static readonly Dictionary<string, double> Shares = new() { [Autoencoder] = 3.5, [Unet] = 4.5, [Reader] = 1 };

    public static Command Create()
    {
        var output = new Option<string>("--output")
        {
            Description = "Where everything goes.",
            DefaultValueFactory = _ => Path.Combine("artifacts", "GenerateStory", "training"),
        };
        var minutes = new Option<double>("--minutes")
        {
            Description = "The time of the training steps of all parts together.",
            DefaultValueFactory = _ => 8,
        };
        var provider = new Option<ExecutionProvider>("--provider")
        {
            Description = "Where to train: cpu, cuda, or auto.",
            DefaultValueFactory = _ => ExecutionProvider.Auto,
        };
        var tiny = new Option<bool>("--tiny") { Description = "Trains very small nets, to see that all works." };
        var autoencoder = new Option<string?>("--autoencoder") { Description = "Weights of an autoencoder that was trained before." };
        var parts = new Option<string[]>("--parts")
        {
            Description = "What to train.",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => [.. Shares.Keys],
        };
        parts.AcceptOnlyFromAmong([.. Shares.Keys]);
        var command = new Command("train", "Trains the nets on drawn pictures, and the reader of their attributes.")
        {
            output, minutes, provider, tiny, autoencoder, parts,
        };
        command.SetAction(arguments =>
        {
            var clock = Stopwatch.StartNew();
            var folder = Directory.CreateDirectory(arguments.GetValue(output)!).FullName;
            using var log = File.CreateText(Path.Combine(folder, "log.txt"));
            log.AutoFlush = true;
            var recipe = arguments.GetValue(tiny) ? Recipe.Tiny : Recipe.Full;
            var training = new ModelTraining(recipe, folder, arguments.GetValue(provider), Say);
            var chosen = arguments.GetValue(parts)!;
            var trained = chosen.Contains(Autoencoder) ? training.TrainAutoencoder(TimeOf(Autoencoder))
                : arguments.GetValue(autoencoder) is { } file ? TrainedAutoencoder.Load(file, recipe.Autoencoder)
                : null;
            if (chosen.Contains(Unet))
            {
                training.TrainUnet(
                    trained ?? throw new ArgumentException("Give --autoencoder, or train one: --parts autoencoder unet."), TimeOf(Unet));
            }
            if (chosen.Contains(Reader))
                training.TrainReader(TimeOf(Reader));
            Say($"all in {folder}");

            TimeSpan TimeOf(string part) =>
                TimeSpan.FromMinutes(arguments.GetValue(minutes)) * Shares[part] / chosen.Distinct().Sum(other => Shares[other]);

            void Say(string line)
            {
                line = $"{clock.Elapsed:mm\\:ss} {line}";
                Console.WriteLine(line);
                log.WriteLine(line);
            }
        });
        return command;
    }
}
