using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The decoder of an autoencoder: latents to pictures, one at a time, whole or in tiles.</summary>
internal sealed class LatentDecoder : IDisposable
{
    private const string Input = "latent_sample";
    private const int ColourCount = 3;

    private readonly OnnxSession _session;
    private readonly AutoencoderKlConfig _config;

    private LatentDecoder(OnnxSession session, AutoencoderKlConfig config) => (_session, _config) = (session, config);

    /// <summary>How many pixels of the picture a latent stands for, along each side.</summary>
    public int Reduction => _config.Reduction;

    /// <summary>The number of channels of the latents.</summary>
    public int LatentChannels => _config.LatentChannels;

    /// <summary>Opens the decoder of a folder: in float32, whatever the options say, where its configuration says that it has to be.</summary>
    public static LatentDecoder Open(IHostEnvironment environment, DiffusionFolder folder, OnnxSessionOptions options)
    {
        var (path, config) = (folder.VaeDecoder, folder.ReadVaeConfig());
        var content = ModelContent.FromFile(path);
        if (config.ForceUpcast)
        {
            options = options with { Precision = ScoringPrecision.AsModel };
            if (OnnxModel.Load(path, leaveExternalData: true) is var model && IsHalf(model))
                content = new(SinglePrecision.Convert(model).ToBytes(), path);
        }
        return new(OnnxSession.Open(environment, content, options), config);
    }

    /// <summary>Decodes the latents of a picture.</summary>
    /// <param name="latents">[channels, height, width]</param>
    /// <param name="height">Height of the latents.</param>
    /// <param name="width">Width of the latents.</param>
    /// <param name="tileSize">Height and width in pixels of what is decoded at a time; null for the whole.</param>
    /// <param name="cancellation">Ends the work.</param>
    public PagePicture Decode(float[] latents, int height, int width, int? tileSize, CancellationToken cancellation)
    {
        var reduction = _config.Reduction;
        var tile = Math.Max(tileSize / reduction ?? int.MaxValue, 1);
        var values = height <= tile && width <= tile
            ? Run(latents, height, width, cancellation)
            : DecodeTiles(latents, height, width, Math.Min(tile, height), Math.Min(tile, width), cancellation);
        return ToPicture(values, height * reduction, width * reduction);
    }

    public void Dispose() => _session.Dispose();

    private static bool IsHalf(OnnxModel model) => model.Graph.Initializers.Values.Any(tensor => tensor.Type == TensorElementType.Float16);

    // Tiles share a quarter with their neighbours, over which they fade into each other.
    private float[] DecodeTiles(float[] latents, int height, int width, int tileHeight, int tileWidth, CancellationToken cancellation)
    {
        var reduction = _config.Reduction;
        var rows = new TileAxis(height * reduction, tileHeight * reduction, Overlap(tileHeight), reduction);
        var columns = new TileAxis(width * reduction, tileWidth * reduction, Overlap(tileWidth), reduction);
        var values = new float[ColourCount * height * width * reduction * reduction];
        for (var row = 0; row < rows.Count; row++)
        {
            for (var column = 0; column < columns.Count; column++)
            {
                var (top, left) = (rows.Start(row), columns.Start(column));
                var cut = Cut(latents, height, width, top / reduction, left / reduction, tileHeight, tileWidth);
                Add(Run(cut, tileHeight, tileWidth, cancellation), rows, row, columns, column, width * reduction, values);
            }
        }
        return values;

        int Overlap(int tile) => Math.Max(tile / 4, 1) * reduction;
    }

    private static float[] Cut(float[] latents, int height, int width, int top, int left, int tileHeight, int tileWidth)
    {
        var cut = new List<float>();
        for (var plane = 0; plane < latents.Length / (height * width); plane++)
        {
            for (var y = top; y < top + tileHeight; y++)
                cut.AddRange(latents.AsSpan((plane * height + y) * width + left, tileWidth));
        }
        return [.. cut];
    }

    private static void Add(float[] tile, TileAxis rows, int row, TileAxis columns, int column, int width, float[] values)
    {
        var (rowWeights, columnWeights) = (rows.Weights(row).ToArray(), columns.Weights(column).ToArray());
        var (tilePlane, plane) = (rowWeights.Length * columnWeights.Length, values.Length / ColourCount);
        for (var colour = 0; colour < ColourCount; colour++)
        {
            for (var y = 0; y < rowWeights.Length; y++)
            {
                var source = tile.AsSpan(colour * tilePlane + y * columnWeights.Length, columnWeights.Length);
                var target = values.AsSpan(colour * plane + (rows.Start(row) + y) * width + columns.Start(column), columnWeights.Length);
                for (var x = 0; x < source.Length; x++)
                    target[x] += rowWeights[y] * columnWeights[x] * source[x];
            }
        }
    }

    private float[] Run(float[] latents, int height, int width, CancellationToken cancellation)
    {
        var scaled = Array.ConvertAll(latents, value => value / _config.ScalingFactor);
        using var input = HostValue.Of(
            scaled, _session.Inputs[Input].ElementType, 1, latents.Length / (height * width), height, width);
        using var options = new RunOptions();
        using var outputs = _session.Run(options, [Input], [input], [_session.OutputNames[0]], cancellation);
        return HostValue.Read(outputs[0]);
    }

    // Values in [-1, 1], plane by plane, to levels.
    private static PagePicture ToPicture(float[] values, int height, int width)
    {
        var (pixels, plane) = (new byte[4 * height * width], height * width);
        for (var i = 0; i < plane; i++)
        {
            for (var colour = 0; colour < ColourCount; colour++)
                pixels[4 * i + colour] = (byte)MathF.Round(Math.Clamp(values[colour * plane + i] / 2 + 0.5f, 0, 1) * 255);
            pixels[4 * i + 3] = 255;
        }
        return new(pixels, width, height);
    }
}
