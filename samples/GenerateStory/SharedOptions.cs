using System.CommandLine;
using Microsoft.ML.Attention;

namespace GenerateStory;

/// <summary>What several commands can be told.</summary>
internal static class SharedOptions
{
    public static Option<string> Model { get; } = new("--model")
    {
        Description = "The folder of the model; by default the one that comes with the sample.",
        DefaultValueFactory = _ => Path.Combine(AppContext.BaseDirectory, "model"),
    };

    public static Option<ExecutionProvider> Provider { get; } = new("--provider")
    {
        Description = "Where to compute: cpu, cuda, or auto.",
        DefaultValueFactory = _ => ExecutionProvider.Auto,
    };
}
