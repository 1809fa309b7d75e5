using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

[assembly: LoadableClass(typeof(FewShotSegmentationTransformer), null, typeof(SignatureLoadModel),
    "Few-shot segmentation", FewShotSegmentationTransformer.LoaderSignature)]
[assembly: LoadableClass(typeof(IRowMapper), typeof(FewShotSegmentationTransformer), null, typeof(SignatureLoadRowMapper),
    "Few-shot segmentation", FewShotSegmentationTransformer.LoaderSignature)]

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Finds the objects of the classes of a <see cref="SupportSet"/>: adds a mask to each picture, as a picture and as runs. What the support
/// set's pictures tell is part of the model, computed once and saved with it. A pixel belongs to the class whose object is clearest there,
/// or to none. A picture that cannot be read has no mask and no runs (<see cref="BadInput.ScoreAsMissing"/>).
/// </summary>
public sealed class FewShotSegmentationTransformer : OnnxTransformerBase
{
    internal const string LoaderSignature = "AttentionFewShot";

    private readonly SegmentationSource _source;
    private readonly string[] _classes;
    private readonly int _logitSize;

    internal FewShotSegmentationTransformer(
        IHostEnvironment environment, ModelContent model, ScoringOptions scoring, SegmentationSource source, IReadOnlyList<string> classes,
        int logitSize)
        : base(environment.Register(nameof(FewShotSegmentationTransformer)), model, scoring) =>
        (_source, _classes, _logitSize) = (source, [.. classes], logitSize);

    /// <summary>The column of pictures: paths of files (text), contents of files (vectors of bytes) or <see cref="MLImage"/>s.</summary>
    public string ImageColumnName => _source.ImageColumnName;

    /// <summary>The names of the columns that are added.</summary>
    public SegmentationColumns Columns => _source.Columns;

    /// <summary>The names of the classes; the first one is 1 in masks.</summary>
    public IReadOnlyList<string> Classes => _classes;

    /// <summary>The model with what it knows of the support set, as the bytes of an ONNX file.</summary>
    public byte[] ToOnnx() => Model.Bytes.ToArray();

    internal override OnnxTransformerBase WithScoring(ScoringOptions scoring) =>
        new FewShotSegmentationTransformer(Host, Model, scoring, _source, _classes, _logitSize);

    internal override IReadOnlyList<TensorInput> BindInputs(DataViewSchema schema) =>
        SegmentationInputs.Bind(Session, _source.Bind(schema));

    internal override IReadOnlyList<OutputColumn> GetOutputColumns() =>
        [new MaskColumn(Columns.Mask, _logitSize), new RunsColumn(Columns.Runs, _logitSize)];

    private protected override void SaveCore(ModelSaveContext context)
    {
        context.SetVersionInfo(GetVersionInfo());
        SaveModelAndOptions(context);
        _source.Save(context);
        context.Writer.Write(_logitSize);
        context.Writer.Write(_classes.Length);
        foreach (var label in _classes)
            context.SaveNonEmptyString(label);
    }

    private static VersionInfo GetVersionInfo() => new(
        modelSignature: "ATTNFEWS", verWrittenCur: 0x00010001, verReadableCur: 0x00010001, verWeCanReadBack: 0x00010001,
        loaderSignature: LoaderSignature, loaderAssemblyName: typeof(FewShotSegmentationTransformer).Assembly.FullName);

    private static FewShotSegmentationTransformer Create(IHostEnvironment environment, ModelLoadContext context)
    {
        context.CheckAtModel(GetVersionInfo());
        var scoring = ScoringOptions.Load(context);
        var model = ModelContent.Load(context);
        var source = SegmentationSource.Load(context);
        var logitSize = context.Reader.ReadInt32();
        var classes = new string[context.Reader.ReadInt32()];
        for (var i = 0; i < classes.Length; i++)
            classes[i] = context.LoadNonEmptyString();
        return new(environment, model, scoring, source, classes, logitSize);
    }

    private static IRowMapper Create(IHostEnvironment environment, ModelLoadContext context, DataViewSchema schema) =>
        Create(environment, context).Bind(schema);
}
