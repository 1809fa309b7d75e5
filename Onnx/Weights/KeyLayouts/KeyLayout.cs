using System.Text.RegularExpressions;

namespace Microsoft.ML.Attention.Onnx.Weights.KeyLayouts;

/// <summary>
/// The names that a library other than the official one gives to the parameters of an architecture. To add one, write it down in the
/// file of its architecture and list it in <see cref="All"/>.
/// </summary>
/// <param name="Name">What it is called, such as <c>timm's TNT</c>.</param>
/// <param name="Mark">A pattern that a name in every such checkpoint matches, and none in others.</param>
/// <param name="Renames">Patterns of names and what the matching part becomes; the first that matches counts.</param>
internal sealed record KeyLayout(string Name, string Mark, IReadOnlyList<(string Pattern, string Replacement)> Renames)
{
    private const RegexOptions Options = RegexOptions.NonBacktracking | RegexOptions.CultureInvariant;

    private readonly Lazy<(Regex Pattern, string Replacement)[]> _renames =
        new(() => [.. Renames.Select(rename => (new Regex(rename.Pattern, Options), rename.Replacement))]);

    public static IReadOnlyList<KeyLayout> All { get; } =
    [
        AutoencoderKlLayouts.Diffusers,
        TntLayouts.Timm, TntLayouts.TimmLegacy,
        ResNetLayouts.HuggingFace,
        MobileNetV2Layouts.Torchvision, MobileNetV2Layouts.Timm, MobileNetV2Layouts.HuggingFace,
    ];

    /// <summary>Changes float32 values where the library keeps them in another form; takes official names.</summary>
    public Func<string, Tensor, Tensor> Convert { get; init; } = (_, tensor) => tensor;

    /// <summary>What a user has to know about the converted model, or null.</summary>
    public string? Caveat { get; init; }

    /// <summary>Why the weights fit no architecture here, or null.</summary>
    public string? Obstacle { get; init; }

    /// <summary>The layout of a checkpoint with these names, or null if they are official ones or unknown.</summary>
    public static KeyLayout? Find(IReadOnlyCollection<string> names) =>
        All.FirstOrDefault(layout => names.Any(name => Regex.IsMatch(name, layout.Mark, Options)));

    /// <summary>The official name; a name that the layout does not know stays.</summary>
    public string Official(string name)
    {
        foreach (var (pattern, replacement) in _renames.Value)
        {
            if (pattern.IsMatch(name))
                return pattern.Replace(name, replacement, 1);
        }
        return name;
    }
}
