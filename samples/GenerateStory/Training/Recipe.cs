using Microsoft.ML.Attention.Onnx.Models;

namespace GenerateStory.Training;

/// <summary>The sizes of pictures and nets.</summary>
internal sealed record Recipe
{
    /// <summary>Height and width of the pictures in pixels.</summary>
    public required int Side { get; init; }

    /// <summary>The number of pictures to train on.</summary>
    public required int PictureCount { get; init; }

    public required AutoencoderKlConfig Autoencoder { get; init; }

    public required UNet2DConditionConfig Unet { get; init; }

    public required ClipTextConfig TextEncoder { get; init; }

    /// <summary>Pictures a step of the autoencoder.</summary>
    public required int AutoencoderBatch { get; init; }

    /// <summary>Pictures a step of U-Net and text encoder.</summary>
    public required int UnetBatch { get; init; }

    /// <summary>Pictures a step of the reader.</summary>
    public required int ReaderBatch { get; init; }

    /// <summary>The one of the model that comes with the sample: minutes on a GPU.</summary>
    public static Recipe Full { get; } = new()
    {
        Side = 192,
        PictureCount = 40_000,
        Autoencoder = AutoencoderKl.Variants["sd_nano"] with { LatentChannels = LatentChannels },
        Unet = UNet2DCondition.Variants["sd_nano"] with { InChannels = LatentChannels, OutChannels = LatentChannels },
        TextEncoder = Text(width: 128, layers: 4),
        AutoencoderBatch = 16,
        UnetBatch = 256,
        ReaderBatch = 128,
    };

    /// <summary>A very small one, to see on a CPU that all parts work together.</summary>
    public static Recipe Tiny { get; } = new()
    {
        Side = 64,
        PictureCount = 200,
        Autoencoder = AutoencoderKl.Variants["sd_nano"] with { LatentChannels = LatentChannels, BlockOutChannels = [32, 32, 32, 32] },
        Unet = UNet2DCondition.Variants["sd_nano"] with
        {
            InChannels = LatentChannels, OutChannels = LatentChannels, BlockOutChannels = [32, 32, 32], AttentionHeadDim = [1],
            CrossAttentionDim = 32,
        },
        TextEncoder = Text(width: 32, layers: 1),
        AutoencoderBatch = 4,
        UnetBatch = 8,
        ReaderBatch = 8,
    };

    // Four, as Stable Diffusion has, were too few for eyes and whiskers of 192 pixels: 25.8 dB after four minutes.
    private const int LatentChannels = 8;

    private const int TokenCount = 32;

    private static ClipTextConfig Text(int width, int layers) => ClipTextEncoder.Variants["clip_nano"] with
    {
        HiddenSize = width,
        IntermediateSize = 4 * width,
        ProjectionDim = width,
        NumHiddenLayers = layers,
        NumAttentionHeads = width / 32,
        MaxPositionEmbeddings = TokenCount,
    };
}
