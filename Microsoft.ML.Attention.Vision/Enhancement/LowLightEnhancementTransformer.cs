using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

[assembly: LoadableClass(typeof(LowLightEnhancementTransformer), null, typeof(SignatureLoadModel),
    "Low-light enhancement", LowLightEnhancementTransformer.LoaderSignature)]
[assembly: LoadableClass(typeof(IRowMapper), typeof(LowLightEnhancementTransformer), null, typeof(SignatureLoadRowMapper),
    "Low-light enhancement", LowLightEnhancementTransformer.LoaderSignature)]

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Makes pictures taken in low light look as if taken in normal light: adds a column of <see cref="MLImage"/>s. A picture that cannot be
/// read has none there (<see cref="BadInput.ScoreAsMissing"/>).
/// </summary>
public sealed class LowLightEnhancementTransformer : OnnxTransformerBase
{
    internal const string LoaderSignature = "AttentionLowLight";

    private readonly ImageSource _images;
    private readonly LowLightOutput _output;

    internal LowLightEnhancementTransformer(
        IHostEnvironment environment, ModelContent model, ScoringOptions scoring, ImageSource images, LowLightOutput output)
        : base(environment.Register(nameof(LowLightEnhancementTransformer)), model, scoring)
    {
        output.Validate(images.Preprocessing);
        (_images, _output) = (images, output);
    }

    /// <inheritdoc cref="ImageClassificationTransformer.ImageColumnName"/>
    public string ImageColumnName => _images.ColumnName;

    /// <summary>The column of enhanced pictures.</summary>
    public string OutputColumnName => _output.ColumnName;

    /// <summary>How pictures of any size go through the model.</summary>
    public LowLightFit Fit => _output.Fit;

    /// <summary>The height and width in pixels of what the model takes at a time: a tile or a whole picture.</summary>
    public (int Height, int Width) ModelSize => (_images.Preprocessing.Height, _images.Preprocessing.Width);

    /// <summary>How the training went; null for a model that was loaded or not trained here.</summary>
    public EnhancementTrace? Trace { get; init; }

    internal override OnnxTransformerBase WithScoring(ScoringOptions scoring) =>
        new LowLightEnhancementTransformer(Host, Model, scoring, _images, _output) { Trace = Trace };

    /// <summary>The model as the bytes of an ONNX file.</summary>
    public byte[] ToOnnx() => Model.Bytes.ToArray();

    internal override IReadOnlyList<TensorInput> BindInputs(DataViewSchema schema) => _images.BindInput(Session, schema);

    internal override IReadOnlyList<OutputColumn> GetOutputColumns() =>
        [new EnhancedImageColumn(_output.ColumnName, Fit == LowLightFit.Resized ? ModelSize : null)];

    private protected override IRowMapper Bind(DataViewSchema schema) => Fit == LowLightFit.Resized
        ? base.Bind(schema)
        : new PicturewiseMapper(
            Host, this, _images.Bind(schema), () => new(Session, _images.Preprocessing, _output, Scoring.BatchSize));

    private protected override IDataView CreateView(IDataView input, CancellationToken cancellation) => Fit == LowLightFit.Resized
        ? base.CreateView(input, cancellation)
        : new RowToRowMapperTransform(Host, input, Bind(input.Schema), Bind);

    private protected override void SaveCore(ModelSaveContext context)
    {
        context.SetVersionInfo(GetVersionInfo());
        SaveModelAndOptions(context);
        _images.Save(context);
        _output.Save(context);
    }

    private static VersionInfo GetVersionInfo() => new(
        modelSignature: "ATTNLOWL", verWrittenCur: 0x00010001, verReadableCur: 0x00010001, verWeCanReadBack: 0x00010001,
        loaderSignature: LoaderSignature, loaderAssemblyName: typeof(LowLightEnhancementTransformer).Assembly.FullName);

    private static LowLightEnhancementTransformer Create(IHostEnvironment environment, ModelLoadContext context)
    {
        context.CheckAtModel(GetVersionInfo());
        var scoring = ScoringOptions.Load(context);
        return new(environment, ModelContent.Load(context), scoring, ImageSource.Load(context), LowLightOutput.Load(context));
    }

    private static IRowMapper Create(IHostEnvironment environment, ModelLoadContext context, DataViewSchema schema) =>
        Create(environment, context).Bind(schema);
}
