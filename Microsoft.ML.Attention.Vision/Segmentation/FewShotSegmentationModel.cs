using System.Text.Json;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Tensor = Microsoft.ML.Attention.Onnx.Tensor;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// What segments any class of which it is shown a few pictures and masks. Of itself it knows no class: with a <see cref="SupportSet"/> it
/// becomes a transformer.
/// </summary>
public sealed class FewShotSegmentationModel
{
    private const string ArchitectureKey = "architecture";

    private readonly WeightSource _weights;

    /// <summary>A model of weights.</summary>
    /// <param name="architecture">The architecture; its number of shots does not matter.</param>
    /// <param name="weights">The weights, such as <c>Checkpoint.Load("sccan.pth")</c>.</param>
    public FewShotSegmentationModel(SccanConfig architecture, WeightSource weights)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        ArgumentNullException.ThrowIfNull(weights);
        (Architecture, _weights) = (architecture, weights);
    }

    /// <summary>The architecture.</summary>
    public SccanConfig Architecture { get; }

    /// <summary>
    /// How the training went; null for a model that was loaded or not trained here. The accuracy in it is the share of the pixels of the
    /// training's queries that were told right.
    /// </summary>
    public TrainingTrace? Trace { get; init; }

    /// <summary>The height and width of the maps that come out.</summary>
    internal int LogitSize => Architecture.OutputSize ?? Architecture.ImageSize;

    /// <summary>Writes weights and architecture to a safetensors file.</summary>
    /// <param name="path">The file.</param>
    public void Save(string path)
    {
        var weights = Sccan.Build(Architecture, _weights).Graph.Initializers.Where(entry => Graph.IsWeight(entry.Key, entry.Value));
        SafetensorsFile.Write(
            path, weights.ToDictionary(), new Dictionary<string, string> { [ArchitectureKey] = JsonSerializer.Serialize(Architecture) });
    }

    /// <summary>Reads what <see cref="Save"/> wrote.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidDataException">The file is another one.</exception>
    public static FewShotSegmentationModel Load(string path)
    {
        using var file = SafetensorsFile.Open(path);
        if (!file.Metadata.TryGetValue(ArchitectureKey, out var json))
        {
            throw new InvalidDataException($"'{path}' does not tell its architecture. It was not written by "
                + $"{nameof(FewShotSegmentationModel)}.{nameof(Save)}; give its weights and a {nameof(SccanConfig)} to the constructor.");
        }
        try
        {
            return new(JsonSerializer.Deserialize<SccanConfig>(json)!, new Checkpoint(file.ReadAll(), $"'{path}'"));
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"The architecture in '{path}' is damaged: {e.Message}", e);
        }
    }

    /// <summary>
    /// A model that finds the classes of a support set: what it has to know of them is computed here, once, and is part of it. Inputs
    /// <c>x</c> [N, 3, S, S] and <c>original_size</c> [N, 2] of height and width, outputs <c>logits</c> [N, classes, 2, S, S] and
    /// <c>original_size</c>.
    /// </summary>
    /// <exception cref="InvalidDataException">A picture or mask of the support set is no good; the message names it.</exception>
    internal ModelContent With(IHostEnvironment environment, SupportSet support, OnnxSessionOptions options)
    {
        var known = support.Shots.GroupBy(entry => entry.Shots.Count, entry => entry)
            .SelectMany(group => Know(environment, [.. group], options)).ToDictionary();
        var model = Sccan.BuildSegmenter(Architecture, _weights, [.. support.Classes.Select(label => known[label])]);
        var builder = new GraphBuilder(model.Graph);
        builder.Output(SegmentationInputs.OriginalSizeOutput, builder.Input(SegmentationInputs.OriginalSize, TensorElementType.Int64, ["N", 2]));
        return new(model.ToBytes());
    }

    // What the model has to know of classes of as many shots.
    private IEnumerable<KeyValuePair<string, IReadOnlyDictionary<string, Tensor>>> Know(
        IHostEnvironment environment, (string Label, List<SupportShot> Shots)[] classes, OnnxSessionOptions options)
    {
        var (shotCount, size) = (classes[0].Shots.Count, Architecture.ImageSize);
        var preprocessing = new SegmentationPreprocessing(size);
        var model = Sccan.BuildSupport(Architecture with { ShotCount = shotCount }, _weights);
        using var session = OnnxSession.Open(environment, new ModelContent(model.ToBytes()), options);
        using var runOptions = new RunOptions();
        var (values, masks) = (new float[shotCount * preprocessing.ValueCount], new byte[shotCount * size * size]);
        foreach (var (label, shots) in classes)
        {
            for (var i = 0; i < shots.Count; i++)
            {
                shots[i].Write(
                    preprocessing, values.AsSpan(i * preprocessing.ValueCount, preprocessing.ValueCount),
                    masks.AsSpan(i * size * size, size * size));
            }
            using var images = OrtValue.CreateTensorValueFromMemory(values, [1, shotCount, 3, size, size]);
            using var mask = OrtValue.CreateTensorValueFromMemory(masks, [1, shotCount, size, size]);
            string[] names = [.. session.OutputNames];
            using var results = session.Run(runOptions, ["support", "mask"], [images, mask], names, CancellationToken.None);
            yield return new(label, names.Zip(results).ToDictionary(pair => pair.First, pair => ToTensor(pair.Second)));
        }
    }

    private static Tensor ToTensor(OrtValue value) =>
        Tensor.Create(value.GetTensorDataAsSpan<float>(), value.GetTensorTypeAndShape().Shape);
}
