using System.Collections.Frozen;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The architectures that classify images, by name.</summary>
public static class ImageClassifiers
{
    /// <summary>All published variants, and small ones of ours, by their name.</summary>
    public static IReadOnlyDictionary<string, ImageClassifierConfig> Variants { get; } =
        BiFormer.Variants.Select(Entry)
            .Concat(MobileNetV2.Variants.Select(Entry))
            .Concat(ResNet.Variants.Select(Entry))
            .Concat(RaftMlp.Variants.Select(Entry))
            .Concat(Tnt.Variants.Select(Entry))
            .Concat(PyramidTnt.Variants.Select(Entry))
            .ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);

    /// <summary>A variant by its name.</summary>
    /// <exception cref="ArgumentException">There is none; the message lists the names.</exception>
    public static ImageClassifierConfig Find(string name) =>
        Variants.TryGetValue(name, out var config) ? config : throw new ArgumentException(
            $"There is no architecture '{name}'; there are {string.Join(", ", Variants.Keys.Order(StringComparer.Ordinal))}.", nameof(name));

    private static KeyValuePair<string, ImageClassifierConfig> Entry<TConfig>(KeyValuePair<string, TConfig> variant)
        where TConfig : ImageClassifierConfig =>
        new(variant.Key, variant.Value);
}
