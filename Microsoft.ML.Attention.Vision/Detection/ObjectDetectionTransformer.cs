using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

[assembly: LoadableClass(typeof(ObjectDetectionTransformer), null, typeof(SignatureLoadModel),
    "Object detection", ObjectDetectionTransformer.LoaderSignature)]
[assembly: LoadableClass(typeof(IRowMapper), typeof(ObjectDetectionTransformer), null, typeof(SignatureLoadRowMapper),
    "Object detection", ObjectDetectionTransformer.LoaderSignature)]

namespace Microsoft.ML.Attention.Vision;

/// <summary>Detects objects in pictures with a detector of <see cref="Onnx.Models.PlainDetr.Build"/>.</summary>
public sealed class ObjectDetectionTransformer : OnnxTransformerBase
{
    internal const string LoaderSignature = "AttentionDetector";

    private readonly DetectionSource _source;
    private readonly ClassLabels _labels;

    internal ObjectDetectionTransformer(
        IHostEnvironment environment, ModelContent model, ScoringOptions scoring, DetectionSource source, ClassLabels labels)
        : base(environment.Register(nameof(ObjectDetectionTransformer)), model, scoring) => (_source, _labels) = (source, labels);

    /// <summary>The column of pictures: paths of files (text), contents of files (vectors of bytes) or <see cref="MLImage"/>s.</summary>
    public string ImageColumnName => _source.ImageColumnName;

    /// <summary>How pictures become the model's input.</summary>
    public DetectionPreprocessing Preprocessing => _source.Preprocessing;

    /// <summary>The names of the columns that are added.</summary>
    public DetectionColumns Columns => _source.Columns;

    /// <summary>Detections of lower scores are left out.</summary>
    public float LeastScore => _source.LeastScore;

    /// <summary>The names of the classes.</summary>
    public IReadOnlyList<string> Classes => [.. _labels.Names().DenseValues().Select(name => name.ToString())];

    /// <summary>How the detector was trained; null for one that was loaded.</summary>
    public DetectionTrace? Trace { get; internal init; }

    /// <summary>Writes the detector as an ONNX file.</summary>
    /// <param name="path">The file to write.</param>
    public void SaveOnnx(string path) => File.WriteAllBytes(path, Model.ToFile());

    internal override OnnxTransformerBase WithScoring(ScoringOptions scoring) =>
        new ObjectDetectionTransformer(Host, Model, scoring, _source, _labels) { Trace = Trace };

    internal override IReadOnlyList<TensorInput> BindInputs(DataViewSchema schema) => DetectionInputs.Bind(
        Session, new PictureColumn(schema, _source.ImageColumnName, _source.Folder), _source.Preprocessing);

    internal override IReadOnlyList<OutputColumn> GetOutputColumns() =>
    [
        new BoxesColumn(Columns.Boxes, LeastScore), new ScoresColumn(Columns.Scores, LeastScore),
        new ClassesColumn(Columns.Classes, _labels, LeastScore),
    ];

    private protected override void SaveCore(ModelSaveContext context)
    {
        context.SetVersionInfo(GetVersionInfo());
        SaveModelAndOptions(context);
        _labels.Save(context);
        _source.Save(context);
    }

    private static VersionInfo GetVersionInfo() => new(
        modelSignature: "ATTNDETC", verWrittenCur: 0x00010001, verReadableCur: 0x00010001, verWeCanReadBack: 0x00010001,
        loaderSignature: LoaderSignature, loaderAssemblyName: typeof(ObjectDetectionTransformer).Assembly.FullName);

    private static ObjectDetectionTransformer Create(IHostEnvironment environment, ModelLoadContext context)
    {
        context.CheckAtModel(GetVersionInfo());
        var host = environment.Register(nameof(ObjectDetectionTransformer));
        var scoring = ScoringOptions.Load(context);
        var model = ModelContent.Load(context);
        var labels = ClassLabels.Load(host, context);
        return new(environment, model, scoring, DetectionSource.Load(context), labels);
    }

    private static IRowMapper Create(IHostEnvironment environment, ModelLoadContext context, DataViewSchema schema) =>
        Create(environment, context).Bind(schema);
}
