using System.Text.Json;

namespace Samples.Data;

/// <summary>What someone who uses a trained model should know of it; kept as a JSON file beside the model.</summary>
internal sealed record ModelCard
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, IndentCharacter = ' ', IndentSize = 2 };

    /// <summary>The name of the architecture.</summary>
    public required string Architecture { get; init; }

    public required long ParameterCount { get; init; }

    /// <summary>What the model was trained, chosen and tested on.</summary>
    public required string Data { get; init; }

    /// <summary>Share of right answers on pictures that chose the epoch and the recipe.</summary>
    public required double ValidationAccuracy { get; init; }

    /// <summary>Share of right answers on pictures that decided nothing.</summary>
    public required double TestAccuracy { get; init; }

    /// <summary>The command, and the recipe in words.</summary>
    public required string Training { get; init; }

    /// <summary>Where and how long it was trained.</summary>
    public required string Hardware { get; init; }

    public required string Licence { get; init; }

    /// <summary>What the model is not for.</summary>
    public required string Limits { get; init; }

    public required DateOnly Date { get; init; }

    public static ModelCard Load(string path) =>
        JsonSerializer.Deserialize<ModelCard>(File.ReadAllBytes(path)) ?? throw new InvalidDataException($"'{path}' holds no model card.");

    public void Save(string path) => File.WriteAllText(path, JsonSerializer.Serialize(this, Indented) + "\n");

    /// <summary>The card for people to read.</summary>
    public IEnumerable<(string Title, string Text)> Lines() =>
    [
        ("Architecture", $"{Architecture}, {ParameterCount:N0} parameters"),
        ("Data", Data),
        ("Accuracy", $"{TestAccuracy:P2} of the test pictures, {ValidationAccuracy:P2} of the validation pictures"),
        ("Training", Training),
        ("Hardware", Hardware),
        ("Licence", Licence),
        ("Limits", Limits),
        ("Date", $"{Date:yyyy-MM-dd}"),
    ];
}
