namespace Microsoft.ML.Attention.Onnx.Weights.KeyLayouts;

/// <summary>ResNet outside torchvision, whose names are the official ones here; timm has the same.</summary>
internal static class ResNetLayouts
{
    private const int StageCount = 4;
    private const int MostConvolutions = 3;

    /// <summary>Hugging Face transformers, <c>ResNetForImageClassification</c>, such as microsoft/resnet-50.</summary>
    public static KeyLayout HuggingFace { get; } = new(
        "Hugging Face's ResNet", @"^resnet\.embedder\.embedder\.convolution\.", [.. HuggingFaceRenames()]);

    private static IEnumerable<(string, string)> HuggingFaceRenames()
    {
        yield return (@"^resnet\.embedder\.embedder\.convolution\.", "conv1.");
        yield return (@"^resnet\.embedder\.embedder\.normalization\.", "bn1.");
        for (var stage = 0; stage < StageCount; stage++)
        {
            var block = $@"^resnet\.encoder\.stages\.{stage}\.layers\.(\d+)\.";
            yield return ($@"{block}shortcut\.convolution\.", $"layer{stage + 1}.$1.downsample.0.");
            yield return ($@"{block}shortcut\.normalization\.", $"layer{stage + 1}.$1.downsample.1.");
            for (var i = 0; i < MostConvolutions; i++)
            {
                yield return ($@"{block}layer\.{i}\.convolution\.", $"layer{stage + 1}.$1.conv{i + 1}.");
                yield return ($@"{block}layer\.{i}\.normalization\.", $"layer{stage + 1}.$1.bn{i + 1}.");
            }
        }
        yield return (@"^classifier\.1\.", "fc.");
    }
}
