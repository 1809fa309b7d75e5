using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>What a model of time series is to tell: how labels become targets, what the loss is and which columns come out.</summary>
/// <param name="columns">The columns.</param>
internal abstract class TemporalTask(TemporalColumns columns)
{
    /// <summary>The model's output, before the activation of the task.</summary>
    public const string Logits = "logits";

    public TemporalColumns Columns => columns;

    /// <summary>The logits of a row.</summary>
    public abstract int OutputCount { get; }

    /// <summary>The numbers of a target.</summary>
    public abstract int TargetCount { get; }

    /// <summary>What follows the hidden layer of the head, as published for the task.</summary>
    public abstract TscanHiddenActivation HeadActivation { get; }

    protected abstract byte Kind { get; }

    /// <summary>Checks the label column of a schema.</summary>
    /// <exception cref="InvalidOperationException">The column is not of a type that the task can learn.</exception>
    public abstract void CheckLabel(DataViewType type);

    /// <summary>Takes from the label column what is known without reading it.</summary>
    public virtual TemporalTask Bind(IHost host, DataViewSchema.Column label) => this;

    /// <summary>Reads labels as numbers; NaN for a missing one.</summary>
    public abstract Func<float[]> CreateReader(DataViewRow row, DataViewSchema.Column label);

    /// <summary>Takes from the training labels what the targets are made with.</summary>
    public virtual TemporalTask Fit(IReadOnlyList<float[]> labels) => this;

    /// <summary>Writes the target of a label.</summary>
    public abstract void Target(float[] label, Span<float> target);

    /// <summary>The mean loss of a batch.</summary>
    /// <param name="logits">[N, outputs]</param>
    /// <param name="targets">[N, numbers of a target]</param>
    public abstract Value Loss(Value logits, Value targets);

    /// <summary>The loss of a row.</summary>
    public abstract double Loss(ReadOnlySpan<float> logits, ReadOnlySpan<float> target);

    /// <summary>The columns that the trained model adds.</summary>
    public abstract IReadOnlyList<OutputColumn> CreateColumns();

    /// <summary>The columns that a model to be trained on a schema like this will add.</summary>
    public abstract IEnumerable<SchemaShape.Column> OutputShape(SchemaShape.Column label);

    public void Save(ModelSaveContext context)
    {
        context.Writer.Write(Kind);
        columns.Save(context);
        SaveCore(context);
    }

    public static TemporalTask Load(IHost host, ModelLoadContext context)
    {
        var kind = context.Reader.ReadByte();
        var columns = TemporalColumns.Load(context);
        return kind switch
        {
            BinaryTask.KindOf => new BinaryTask(columns),
            MulticlassTask.KindOf => new MulticlassTask(columns, ClassLabels.Load(host, context)),
            RegressionTask.KindOf => RegressionTask.Load(columns, context),
            BucketTask.KindOf => BucketTask.Load(columns, context),
            MultiLabelTask.KindOf => MultiLabelTask.Load(columns, context),
            _ => throw new FormatException($"The saved model has a task of kind {kind}, which this version does not know."),
        };
    }

    protected virtual void SaveCore(ModelSaveContext context)
    {
    }

    protected InvalidOperationException WrongLabel(DataViewType type, string expected) =>
        new($"Label column '{columns.Label}' is of type {type}; {expected}.");

    protected static SchemaShape.Column Scalar(string name, DataViewType type) =>
        new(name, SchemaShape.Column.VectorKind.Scalar, type, isKey: false, new SchemaShape(AnnotationUtils.GetTrainerOutputAnnotation()));

    protected static SchemaShape.Column Vector(string name, DataViewType type) =>
        new(name, SchemaShape.Column.VectorKind.Vector, type, isKey: false, new SchemaShape(AnnotationUtils.GetTrainerOutputAnnotation()));

    // log(1 + e^x), without overflow.
    protected static double Softplus(double x) => Math.Max(x, 0) + Math.Log(1 + Math.Exp(-Math.Abs(x)));

    protected static float Sigmoid(float x) => 1 / (1 + MathF.Exp(-x));

    protected static double CrossEntropy(ReadOnlySpan<float> logits, ReadOnlySpan<float> target)
    {
        double sum = 0, largest = System.Numerics.Tensors.TensorPrimitives.Max(logits), loss = 0;
        foreach (var logit in logits)
            sum += Math.Exp(logit - largest);
        for (var i = 0; i < logits.Length; i++)
            loss -= target[i] * (logits[i] - largest - Math.Log(sum));
        return loss;
    }
}
